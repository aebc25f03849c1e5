"use strict";
// A grid of look-alikes: one place for all that are not marked; the marked ones come up by themselves.

let grid = null;  // rows, marked (ids), at (the tile under the cursor), chosen (their place)

function startGrid(row) {
  grid = { rows: row.grid.map(tile => tile.row_id), marked: new Set(), at: 0, chosen: row.enter ? row.places[0] : null };
  drawGrid();
}

function drawGrid() {
  const { row } = now, count = grid.rows.length - grid.marked.size;
  const tiles = row.grid.map((tile, n) => {
    const note = [tile.qualifier, tile.place && `now: ${tile.place}`, tile.pictures.length > 1 && `${tile.pictures.length} pictures`].filter(Boolean).join(" · ");
    const marked = grid.marked.has(tile.row_id);
    const shown = tile.pictures.length ? make("span", { class: "frame" }, image({ ...tile.pictures[0], alt: "" }, "small")) : null;
    if (shown) shown.firstChild.onerror = () => shown.replaceChildren(make("span", { class: "gone" }, "This picture could not be read"));
    return make("li", {
      role: "option", id: `tile${n}`, "aria-selected": String(marked), class: n === grid.at ? "tile at" : "tile",
      onclick: () => { grid.at = n; toggleMark(); },
    }, shown, make("span", { class: "title", dir: "auto" }, tile.name),
    note ? make("span", { class: "up" }, note) : null, make("span", { class: "sr" }, marked ? ", an exception" : ""));
  });
  const pictures = row.grid.some(tile => tile.pictures.length);
  const chosen = grid.chosen;
  const list = row.places.map((at, n) => place(String(n), "Choose", at, () => choosePlace(at), { "aria-pressed": String(at === chosen) }));
  if (chosen && !row.places.includes(chosen)) list.push(make("li", { class: "place current" }, make("p", { class: "top" }, make("span", { class: "name", dir: "auto" }, chosen.name))));
  $("main").replaceChildren(
    make("section", { class: "subject", "aria-labelledby": "name" },
      make("p", { class: "eyebrow" }, make("span", { class: "chip" }, row.kind), "Mark what belongs elsewhere"),
      make("h1", { id: "name", tabindex: "-1" }, `${number.format(row.grid.length)} look-alikes`),
      make("ul", {
        id: "tiles", class: pictures ? "tiles" : "tiles words", role: "listbox", tabindex: "0",
        "aria-multiselectable": "true", "aria-labelledby": "name", "aria-activedescendant": `tile${grid.at}`,
      }, tiles)),
    make("section", { class: "places", "aria-labelledby": "where" },
      make("h2", { id: "where" }, "Where do the unmarked ones belong?"),
      chosen ? null : make("p", { class: "empty" }, `No place is likely for most of them. Choose one (${row.places.length ? "a digit, or " : ""}search with /), or ask one by one with g.`),
      make("ul", { "aria-label": "Places" }, list),
      make("div", { class: "actions", role: "group", "aria-label": "Answers" },
        make("button", { type: "button", class: "main", "aria-keyshortcuts": "Enter", disabled: count > 0 && !chosen, onclick: () => settleGrid() },
          make("kbd", { "aria-hidden": "true" }, "Enter"), !count ? " One by one" : chosen ? ` Record ${number.format(count)} as ${chosen.name}` : " Choose a place first"),
        action("/", "Another place…", () => openSearch("choose")),
        action("p", "Place the marked…", () => GRID_KEYS.p(), { disabled: !grid.marked.size }),
        action("a", grid.marked.size ? "Unmark all" : "Mark all", () => GRID_KEYS.a()),
        action("x", "Exclude the unmarked", () => decide("exclude")),
        action("u", "Unsure", () => decide("unsure")),
        pictures ? action("v", "View large", () => KEYS.v()) : null,
        action("o", "Open the one under the cursor", () => GRID_KEYS.o()),
        action("g", "Ask one by one", toggleGrid),
        action("n", "Next", next)),
      make("label", { class: "note" }, make("span", {}, make("kbd", { "aria-hidden": "true" }, "i"), " Note"), make("input", { id: "note", type: "text", maxlength: "500", autocomplete: "off", "aria-keyshortcuts": "i" }))));
}

function redrawGrid() {
  const note = $("note").value;
  drawGrid();
  $("note").value = note;
  $("tiles").focus({ preventScroll: true });
}

function toggleMark() {
  const row = grid.rows[grid.at];
  if (!grid.marked.delete(row)) grid.marked.add(row);
  redrawGrid();
  say(plural(grid.marked.size, "exception", "exceptions"));
}

function choosePlace(at) {
  grid.chosen = at;
  redrawGrid();
  say(`The place is ${at.name}. Enter records it.`);
}

// Records one answer for the rows that are not marked; the marked ones are asked next.
function settleGrid(decision = "", target = "") {
  const marked = grid.rows.filter(row => grid.marked.has(row));
  const rest = grid.rows.filter(row => !grid.marked.has(row));
  if (!rest.length) { waitFor([...marked, ...pending]); return toRow(pending[0], true); }
  if (!decision) {
    if (!grid.chosen) { say("Choose a place first: a digit, or search with /."); return undefined; }
    decision = grid.chosen.answer;
    target = decision === "keep" ? "" : grid.chosen.node;
  }
  return record(rest, decision, target, marked);
}

function placeMarked(node) {
  const left = grid.rows.filter(row => !grid.marked.has(row));
  return during(async () => {
    const rows = grid.rows.filter(row => grid.marked.has(row));
    take(await ask("decide", {
      state: now.state, row_id: rows[0], rows, decision: "move", target: node, note: $("note").value, then: left[0] || "", view: asView(),
    }));
  });
}

const toRow = (row, single) => during(async () => take(await show({ row, single: single ? "yes" : "" })));

function toggleGrid() {
  if (!now.row) return;
  if (now.row.grid) { rowsOnly = true; toRow(grid.rows[grid.at], true); return; }
  if (now.row.alike < 2) { say("This row has no open look-alikes."); return; }
  rowsOnly = false;
  waitFor(pending.filter(row => row !== now.row.row_id));
  toRow(now.row.row_id, false);
}

function moveTo(step) {
  const tiles = [...$("tiles").children];
  const columns = tiles.filter(tile => tile.offsetTop === tiles[0].offsetTop).length;
  const at = grid.at + (Math.abs(step) === 2 ? Math.sign(step) * columns : step);
  if (at < 0 || at >= tiles.length) return;
  tiles[grid.at].classList.remove("at");
  grid.at = at;
  tiles[at].classList.add("at");
  tiles[at].scrollIntoView({ block: "nearest" });
  $("tiles").setAttribute("aria-activedescendant", `tile${at}`);
}

const GRID_KEYS = {
  ArrowLeft: () => moveTo(-1), ArrowRight: () => moveTo(1), ArrowUp: () => moveTo(-2), ArrowDown: () => moveTo(2),
  " ": toggleMark,
  p: () => grid.marked.size ? openSearch("marked") : say("Mark the exceptions first: arrows and space, or click."),
  a: () => {
    grid.marked = new Set(grid.marked.size ? [] : grid.rows);
    redrawGrid();
    say(plural(grid.marked.size, "exception", "exceptions"));
  },
  o: () => toRow(grid.rows[grid.at], true),
};
