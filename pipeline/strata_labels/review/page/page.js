"use strict";
const BLIND = document.body.dataset.blind !== "";
const $ = id => document.getElementById(id);
const make = (tag, about = {}, ...inside) => {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(about)) {
    if (key.startsWith("on")) element[key] = value;
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...inside.flat().filter(part => part !== null && part !== undefined && part !== ""));
  return element;
};
const number = new Intl.NumberFormat("en");
const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
const whole = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 0 });
const plural = (count, one, many) => `${number.format(count)} ${count === 1 ? one : many}`;

let now = null;       // what the server last said: state, row, progress
let busy = false;
const RETRIES = 2;    // of an answer, a second apart
// Exceptions of a grid that was recorded: they come up by themselves, also after a reload.
let pending = JSON.parse(sessionStorage.getItem("pending") || "[]");
// The address keeps what is looked at: the filters, whether look-alikes come one by one, the row.
const view = Object.fromEntries(new URLSearchParams(location.search));
let rowsOnly = view.view === "rows";
let reopened = "";  // a decided row that was opened again

// --- talking to the server -------------------------------------------------------------

async function ask(path, given) {
  const options = given && {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(given),
  };
  let answer;
  // An answer whose confirmation was lost is sent again: the server records it once.
  for (let left = given ? RETRIES : 0; ; left--) {
    answer = await fetch(path, options).catch(() => null);
    if (answer) break;
    if (!left) throw new Error("The server does not answer, so nothing was recorded. If it was ended, run `strata review` again and open the address it prints; all earlier answers are kept.");
    await new Promise(done => setTimeout(done, 1000));
  }
  const type = answer.headers.get("content-type") || "";
  const value = type.includes("json") ? await answer.json() : { message: await answer.text() };
  return { status: answer.status, ...value };
}

async function during(work) {
  if (busy) return;
  busy = true;
  document.body.setAttribute("aria-busy", "true");
  try { await work(); } catch (error) { warn(error.message); }
  finally { busy = false; document.body.removeAttribute("aria-busy"); }
}

function take(answer) {
  if (answer.state) { now = answer; draw(); }
  if (answer.status === 200) { warn(""); say(answer.message || ""); }
  else { warn(answer.message || "The server refused."); }
}

function waitFor(rows) {
  pending = rows;
  sessionStorage.setItem("pending", JSON.stringify(pending));
}
// What to show next: the exceptions that wait, each by itself, else what follows.
function following(without = []) {
  waitFor(pending.filter(row => !without.includes(row)));
  return { then: pending[0] || "", single: pending.length || rowsOnly ? "yes" : "" };
}
// The filters, and how the row is wanted, as the server reads them.
function asView(given = {}) {
  const { view: _, ...filters } = view;
  return new URLSearchParams({ ...filters, ...given }).toString();
}

const record = (rows, decision, target, exceptions = []) => during(async () => {
  const before = pending;
  waitFor([...exceptions, ...pending]);
  const note = $("note") ? $("note").value : "";
  const { then, single } = following(rows);
  const answer = await ask("decide", {
    state: now.state, row_id: now.row.row_id, rows, decision, target, note, then,
    view: asView({ single, reopen: reopened ? "yes" : "" }),
  }).catch(error => { waitFor(before); throw error; });
  if (answer.status !== 200) waitFor(before);
  else reopened = "";
  take(answer);
});
const decide = (decision, target = "") => {
  if (!now || !now.row) return undefined;
  if (now.row.grid) return settleGrid(decision, target);
  return record([now.row.row_id], decision, target);
};
const undo = () => during(async () => {
  reopened = "";
  take(await ask("undo", { state: now.state, row_id: now.row ? now.row.row_id : "", view: asView({ single: rowsOnly ? "yes" : "" }) }));
});
const show = given => ask("row?" + asView({ single: rowsOnly ? "yes" : "", ...given }));
const next = () => during(async () => {
  reopened = "";
  const row = now.row ? now.row.row_id : "";
  const { then, single } = following([row]);
  take(await show({ after: row, row: then, single }));
});
const look = first => during(async () => {
  const row = now && now.row ? now.row.row_id : decodeURIComponent(location.hash.slice(1)) || pending[0] || "";
  const single = rowsOnly || pending.includes(row) || (now && now.row && !now.row.grid) ? "yes" : "";
  const answer = await show({ row, single, reopen: reopened && reopened === row ? "yes" : "" });
  if (first) { take(answer); return; }
  if (answer.status === 200 && answer.state !== now.state) {
    take(answer);
    say("Somebody decided elsewhere meanwhile; this is the present state.");
  }
});

// --- drawing ----------------------------------------------------------------------------

function say(text) { $("said").textContent = text; }
function warn(text) { $("alert").textContent = text; $("alert").hidden = !text; }

function image(picture, size = "") {
  return make("img", {
    referrerPolicy: "no-referrer",  // no address of this page leaves the machine
    src: picture.online || "picture?" + new URLSearchParams({ item: picture.item, id: picture.image, size }),
    alt: picture.alt, loading: "lazy", decoding: "async",
  });
}

function steps(path) {  // names along a path; a name that only repeats the one before is not said twice
  return path.map(step => step.name).filter((name, n, all) => n === 0 || name.toLowerCase() !== all[n - 1].toLowerCase());
}

const ANSWERS = { keep: "Keep", move: "Pick", merge: "Merge into", same: "It is now" };

function likely(share) {  // never "0 %" of what is possible, never "100 %" of what is not certain
  if (share > 0 && share < 0.01) return "under 1%";
  if (share < 1 && share > 0.99) return "over 99%";
  return whole.format(share);
}

function place(key, word, at, does, about = {}) {
  const [name, ...up] = steps(at.path);
  const share = at.likely === null ? null : make("span", { class: "likely" },
    make("i", { "aria-hidden": "true" }, make("b")), `${likely(at.likely)} likely`);
  if (share) share.querySelector("b").style.width = `${100 * at.likely}%`;
  const button = make("button", { type: "button", "aria-keyshortcuts": key, onclick: does, ...about },
    make("kbd", { "aria-hidden": "true" }, key),
    make("span", { class: "top" },
      make("span", { class: word === ANSWERS.merge ? "up" : "sr" }, word + " "),
      make("span", { class: "name", dir: "auto" }, name),
      up.length ? make("span", { class: "up", dir: "auto" }, "› " + up.join(" › ")) : null,
      at.given ? make("span", { class: "chip" }, "the label it came with") : null, share));
  const more = make("div", { class: "more" },
    at.evidence.length ? make("ul", { "aria-label": "Evidence" }, at.evidence.map(text => make("li", {}, text))) : null,
    make("p", { class: "near" }, !at.siblings.length ? `No other ${now.row.kind} is there for certain.` : now.row.is_item ? "Nearest there: " : "Already there: ",
      at.siblings.flatMap((other, n) => [n ? ", " : "", make("span", {}, other.picture ? image({ ...other.picture, alt: "" }, "small") : "", make("b", { dir: "auto" }, other.name))])));
  return make("li", { class: about["aria-pressed"] === "true" || key === "Enter" ? "place current" : "place" }, button, more);
}

function action(key, text, does, about = {}) {
  return make("button", { type: "button", "aria-keyshortcuts": key, onclick: does, ...about },
    make("kbd", { "aria-hidden": "true" }, key), " " + text);
}

function subject(row) {
  const host = row.address ? new URL(row.address).hostname.replace(/^www\./, "") : "";
  const pictures = row.pictures.map((picture, n) => {
    const button = make("button", { type: "button", onclick: () => openViewer(row, n) }, image(picture, n ? "small" : ""));
    button.firstChild.onerror = () => button.replaceChildren(make("span", { class: "gone" }, "This picture could not be read"));
    return make("li", {}, button, picture.note ? make("span", { class: "note" }, picture.note) : null);
  });
  return make("section", { class: "subject", "aria-labelledby": "name" },
    make("p", { class: "eyebrow" }, make("span", { class: "chip" }, row.kind), row.state === "open" ? null : make("span", { class: "chip warm" }, row.state === "decided" ? "decided: a new answer changes it" : "accepted without review"), row.subject),
    make("h1", { id: "name", tabindex: "-1", dir: "auto" }, row.name),
    make("p", { class: "links" }, row.qualifier ? row.qualifier + (host ? " · " : "") : null,
      host ? make("a", { href: row.address, target: "_blank", rel: "noreferrer", "aria-keyshortcuts": "l" }, `Look it up on ${host}`) : null),
    pictures.length ? make("ul", { class: "pictures", "aria-label": "Pictures" }, pictures) : null);
}

function details(row) {
  const chips = (list, more) => make("ul", { class: "names" },
    list.map(name => make("li", { dir: "auto" }, name)), more > 0 ? make("li", {}, `and ${number.format(more)} more`) : null);
  const { members } = row;
  return make("section", { class: "details", "aria-label": "What is known" },
    row.why.length ? [make("h2", {}, "Why you are asked"), make("ul", { class: "why" }, row.why.map(text => make("li", {}, text)))] : null,
    row.facts.length ? [make("h2", {}, "What else is known"), make("ul", { class: "why" }, row.facts.map(text => make("li", {}, text)))] : null,
    members ? [make("h2", {}, `Settles ${plural(members.size, row.levels[0], row.levels[0] + "s")}`), chips(members.examples, members.size - members.examples.length)] : null);
}

function pickPlace(at) { decide(at.answer, at.answer === "keep" ? "" : at.node); }

// The key of each place: Enter for the first if anything is proposed, then the digits.
function keyOf(row, n) { return row.enter && n === 0 ? "Enter" : String(n + (row.enter ? 0 : 1)); }

function places(row) {
  const list = make("ul", { "aria-label": "Places" },
    row.places.map((at, n) => place(keyOf(row, n), ANSWERS[at.answer], at, () => pickPlace(at))));
  const stop = row.stops[0];
  return make("section", { class: "places", "aria-labelledby": "where" },
    make("h2", { id: "where" }, row.question),
    row.enter || row.keeps || BLIND ? null : make("p", { class: "empty" }, "Nothing is proposed. Search the tree with /, or leave it open with u."),
    list,
    make("div", { class: "actions", role: "group", "aria-label": "Other answers" },
      row.keeps ? action("Enter", "Keep it", () => decide("keep")) : null,
      action("/", "Search…", () => openSearch(placing(row))),
      (stop || BLIND) && !row.is_lost ? action("s", stop ? `Stop at ${stop.name}` : "Stop at…", stopHere) : null,
      row.stops.slice(1).map((step, n) => action(String(7 + n), `Stop at ${step.name}`, () => decide("stop", step.node))),
      row.is_item || row.is_lost ? null : action("m", "Merge into…", () => openSearch("merge")),
      row.is_item || row.is_lost || BLIND ? null : action("e", "Name or edit it…", () => openTree()),
      action("x", "Exclude", () => decide("exclude")),
      action("u", "Unsure", () => decide("unsure")),
      row.pictures.length ? action("v", "View large", () => KEYS.v()) : null,
      row.alike > 1 ? action("g", `Grid of ${number.format(row.alike)} look-alikes`, () => toggleGrid()) : null,
      action("n", "Next", next)),
    make("label", { class: "note" }, make("span", {}, make("kbd", { "aria-hidden": "true" }, "i"), " Note"), make("input", { id: "note", type: "text", maxlength: "500", autocomplete: "off", "aria-keyshortcuts": "i" })));
}

function draw(focus = true) {
  const { row, progress } = now;
  const all = progress.decided + progress.open;
  $("bar").setAttribute("aria-valuemax", all);
  $("bar").setAttribute("aria-valuenow", progress.decided);
  $("bar").firstElementChild.style.width = `${all ? 100 * progress.decided / all : 100}%`;
  $("count").replaceChildren(make("strong", {}, number.format(progress.decided)), ` decided, ${number.format(progress.open)} open`);
  drawFilters();
  $("left").textContent = left(progress);
  keepAddress();
  $("main").className = row && row.grid ? "wide" : "";
  if (row && row.grid) {
    document.title = `${row.grid.length} look-alikes · Review`;
    startGrid(row);
  } else if (row) {
    document.title = `${row.name} · Review`;
    $("main").replaceChildren(subject(row), places(row), details(row));
  } else {
    document.title = "Review · nothing is left";
    $("main").replaceChildren(make("section", { class: "done" },
      make("h1", { id: "name", tabindex: "-1" }, filtered() ? "Nothing is left under these filters" : "Nothing is left to decide"),
      filtered() && progress.open ? make("div", { class: "actions" }, action("Escape", "Show all open rows", clearFilters)) : null,
      make("p", {}, left(progress)),
      progress.unsure ? make("p", {}, `${plural(progress.unsure, "row", "rows")} on which you were unsure stay open for others.`) : null,
      make("p", {}, "Every answer is in the ledger. End the page with Ctrl-C in its terminal: the tree and the sheet are then written again.")));
  }
  if (focus) { ($("tiles") || $("name")).focus({ preventScroll: true }); scrollTo(0, 0); }
}

function keepAddress() {
  if (rowsOnly) view.view = "rows";
  else delete view.view;
  const query = new URLSearchParams(view).toString();
  history.replaceState(null, "", location.pathname + (query ? "?" + query : "") + (now.row ? "#" + encodeURIComponent(now.row.row_id) : ""));
}

function left(progress) {
  if (progress.now === null) return "";
  const goal = `${whole.format(progress.target)} of the labels right`;
  if (progress.decisions === 0) return `· ${goal} is reached (${percent.format(progress.now)} expected)`;
  if (progress.decisions === null) return `· all open rows lead to about ${percent.format(progress.best)} of the labels right, the target is ${whole.format(progress.target)}`;
  return `· about ${number.format(progress.decisions)} more answers for ${goal}`;
}

// The word of a decision that names a place: on a lost node, the node that takes its place.
function placing(row) { return row.is_lost ? "same" : "move"; }
function stopHere() {
  if (now.row.is_lost || now.row.grid) return;
  const stop = now.row.stops[0];
  if (stop) decide("stop", stop.node);
  else openSearch("stop");
}

// --- search -----------------------------------------------------------------------------

// A field in a dialog that finds things while one types: arrows go through them, Enter or a click takes one.
function finder(name, { query, list, hint, look, line, tell, take }) {
  let hits = [], active = -1;
  // Numbers of the searches; Enter before the last answer takes its first hit.
  let asked = 0, answered = 0, early = null;
  const mark = () => {
    [...list.children].forEach((item, n) => item.setAttribute("aria-selected", String(n === active)));
    if (active >= 0) { query.setAttribute("aria-activedescendant", name + active); list.children[active].scrollIntoView({ block: "nearest" }); }
    else query.removeAttribute("aria-activedescendant");
  };
  const pick = (n, event) => {
    if (!hits[n]) return;
    query.closest("dialog").close();
    take(hits[n], event);
  };
  const draw = answer => {
    hits = answer.found;
    active = hits.length ? 0 : -1;
    list.replaceChildren(...hits.map((hit, n) => make("li", { role: "option", id: name + n, onclick: event => pick(n, event) }, line(hit))));
    query.setAttribute("aria-expanded", String(hits.length > 0));
    hint.textContent = tell(answer);
    mark();
  };
  query.oninput = async () => {
    const mine = ++asked;
    early = null;
    const answer = await look(query.value).catch(error => ({ message: error.message }));
    // The answer to an older text, or to one of a dialog that was closed.
    if (mine !== asked || !query.closest("dialog").open) return;
    answered = mine;
    draw({ found: [], total: 0, ...answer });
    if (answer.message) hint.textContent = answer.message;
    if (early) pick(active, early);
  };
  query.onkeydown = event => {
    const step = { ArrowDown: 1, ArrowUp: hits.length - 1 }[event.key];
    if (event.isComposing || (step === undefined && event.key !== "Enter")) return;
    event.preventDefault();
    if (step !== undefined) {
      if (hits.length) { active = (active + step) % hits.length; mark(); }
    } else if (!event.repeat) {
      if (asked > answered) early = event;
      else pick(active, event);
    }
  };
  return () => {
    query.value = "";
    answered = ++asked;
    early = null;
    draw({ found: [], total: 0 });
    query.closest("dialog").showModal();
    query.focus();
  };
}

let purpose = "move";
const GRID_SEARCHES = ["choose", "marked"];
const TITLES = {
  move: "Move to", merge: "Merge into", stop: "Stop at", same: "Takes the place of",
  choose: "Place of the unmarked ones", marked: "Place of the marked ones",
};
const findPlace = finder("hit", {
  query: $("query"), list: $("found"), hint: $("hint"),
  look: q => ask("search?" + new URLSearchParams({ for: GRID_SEARCHES.includes(purpose) ? "move" : purpose, row: now.row.row_id, q })),
  line: hit => [
    make("span", { class: "size" }, hit.size ? plural(hit.size, now.row.levels[0], now.row.levels[0] + "s") : ""),
    make("strong", { dir: "auto" }, hit.name), " ",
    make("span", { class: "up" }, [hit.level, ...hit.path.slice(1).map(step => step.name)].join(" › "))],
  tell: ({ found, total }) => {
    if (!found.length) return $("query").value.trim() ? "Nothing in the tree has this name." : "";
    return total > found.length ? `${found.length} of ${number.format(total)}; more letters find fewer` : plural(found.length, "place", "places");
  },
  take: hit => {
    if (purpose === "choose") choosePlace({ answer: "move", node: hit.node, name: hit.name });
    else if (purpose === "marked") placeMarked(hit.node);
    else decide(purpose, hit.node);
  },
});

function openSearch(word) {
  if (!now.row) return;
  if (word === "merge" && (now.row.is_item || now.row.is_lost)) { say("Only nodes of the tree can be merged."); return; }
  purpose = word;
  $("search-title").textContent = now.row.grid ? TITLES[word] : `${TITLES[word]}: ${now.row.name}`;
  findPlace();
}
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.onclose = () => { const name = $("tiles") || $("name"); if (name) name.focus({ preventScroll: true }); };
  dialog.onclick = event => { if (event.target === dialog) dialog.close(); };
}

// --- keys -------------------------------------------------------------------------------

const KEYS = {
  Enter: () => {
    if (!now.row) return;
    const [first] = now.row.places;
    if (now.row.grid) settleGrid();
    else if (now.row.enter) pickPlace(first);
    else if (now.row.keeps) decide("keep");
    else say(BLIND ? "Nothing is shown to keep: pick a place." : "Nothing is proposed to keep.");
  },
  u: () => decide("unsure"), s: stopHere, m: () => openSearch("merge"), x: () => decide("exclude"),
  "/": () => now.row && openSearch(now.row.grid ? "choose" : placing(now.row)),
  f: () => openFilters(), j: () => openJump(), d: () => openDecided(), Escape: () => filtered() && clearFilters(),
  v: () => now.row && (now.row.grid ? openViewer(now.row.grid[grid.at], 0) : openViewer(now.row, 0)),
  l: () => { const link = document.querySelector(".links a"); if (link) link.click(); },
  z: undo, n: next, g: () => toggleGrid(), i: () => $("note") && $("note").focus(), "?": () => $("help").showModal(),
};
function byDigit(key) {
  const { row } = now;
  const n = row ? row.places.findIndex((_, m) => (row.grid ? String(m) : keyOf(row, m)) === key) : -1;
  const stop = row && !row.grid && row.stops[Number(key) - 6];
  if (n >= 0) return row.grid ? () => choosePlace(row.places[n]) : () => pickPlace(row.places[n]);
  return stop && Number(key) >= 7 ? () => decide("stop", stop.node) : null;
}
addEventListener("keydown", event => {
  if (event.defaultPrevented || event.repeat && !event.key.startsWith("Arrow") || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (!now || busy || document.querySelector("dialog[open]")) return;
  const inside = event.target.closest("input, button, a, summary, select");
  if (event.key === "Escape" && inside && inside.id === "note") { ($("tiles") || $("name")).focus(); return; }
  if (inside && (inside.tagName === "INPUT" || inside.tagName === "SELECT" || event.key === "Enter" || event.key === " ")) return;
  const named = event.key.length > 1 || event.key === " ";
  if (!named && !$("letters").checked) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const does = (now.row && now.row.grid && GRID_KEYS[key]) || (/^[0-9]$/.test(key) ? byDigit(key) : KEYS[key]);
  if (!does) return;
  event.preventDefault();
  does();
});
addEventListener("DOMContentLoaded", () => {  // when the other scripts are there too
  for (const button of document.querySelectorAll("footer button")) button.onclick = KEYS[button.getAttribute("aria-keyshortcuts")];
  $("letters").checked = sessionStorage.getItem("letters") !== "off";
  $("letters").onchange = event => sessionStorage.setItem("letters", event.target.checked ? "on" : "off");
  $("blind").hidden = !BLIND;
  addEventListener("focus", () => { if (now && !document.querySelector("dialog[open]")) look(false); });
  look(true);
});
