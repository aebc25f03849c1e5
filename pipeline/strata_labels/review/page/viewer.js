"use strict";
// Pictures at full size, with zoom, beside the nearest ones of each place.

let viewed = null;  // name and pictures of a row, which of them, zoom, whether others stand beside

function openViewer(row, number) {
  if (!row.pictures.length) { say("It has no picture here."); return; }
  const others = now.row.places.some(at => at.siblings.some(other => other.picture));
  viewed = { name: row.name, pictures: row.pictures, number, zoom: 1, beside: others };
  $("viewer").showModal();
  drawViewer();
}

function drawViewer() {
  const { pictures, number: n, zoom, beside, name } = viewed;
  const large = image(pictures[n], "large");
  large.style.width = large.style.height = `${100 * zoom}%`;
  $("viewer-title").textContent = pictures.length > 1 ? `${name}, ${n + 1} of ${pictures.length}` : name;
  $("viewer-own").replaceChildren(large);
  $("viewer-zoom").textContent = whole.format(zoom);
  const places = now.row.places.filter(at => at.siblings.some(other => other.picture));
  $("viewer-others").hidden = !beside || !places.length;
  $("viewer-others").replaceChildren(...places.map(at => make("section", {},
    make("h3", { dir: "auto" }, make("kbd", { "aria-hidden": "true" }, now.row.grid ? String(now.row.places.indexOf(at)) : keyOf(now.row, now.row.places.indexOf(at))), " " + at.name),
    make("ul", {}, at.siblings.filter(other => other.picture).map(other =>
      make("li", {}, image({ ...other.picture, alt: "" }), make("span", { dir: "auto" }, other.name)))))));
  $("viewer-beside").setAttribute("aria-pressed", String(beside));
  $("viewer-beside").disabled = !places.length;
}

function changeViewer(about) {
  Object.assign(viewed, about);
  drawViewer();
}

const VIEWER_KEYS = {
  ArrowRight: () => changeViewer({ number: (viewed.number + 1) % viewed.pictures.length, zoom: 1 }),
  ArrowLeft: () => changeViewer({ number: (viewed.number + viewed.pictures.length - 1) % viewed.pictures.length, zoom: 1 }),
  "+": () => changeViewer({ zoom: Math.min(8, viewed.zoom * 1.5) }),
  "-": () => changeViewer({ zoom: Math.max(1, viewed.zoom / 1.5) }),
  0: () => changeViewer({ zoom: 1 }),
  c: () => changeViewer({ beside: !viewed.beside }),
};
$("viewer").onkeydown = event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const does = VIEWER_KEYS[event.key === "=" ? "+" : event.key];
  if (!does) return;
  event.preventDefault();
  does();
};
for (const button of document.querySelectorAll("#viewer button[aria-keyshortcuts]")) button.onclick = () => VIEWER_KEYS[button.getAttribute("aria-keyshortcuts")]();
