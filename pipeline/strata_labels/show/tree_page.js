/* The tree page: list, icicle, chosen node, search. `tree_data.js` comes before it. */
const ROW = 30, CHUNK = 50, FOUND = 100, EXAMPLES = 12, COLUMNS = 4, LEAST = 8, STRIP = 26;
const OPEN = 2, DOUBTED = 4;
const text = number => number.toLocaleString("en");
const counted = (number, one, many) => `${text(number)} ${number === 1 ? one : many}`;

/* A new element; attributes that start with "on" are listeners. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element[key] = value;
    else if (value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.filter(child => child !== null));
  return element;
}

/* ---- what is chosen --------------------------------------------------------------------- */

const now = {node: 0, item: -1, filter: "all", find: ""};
const unfolded = new Set();
let zoom = {node: 0, from: 0};

const count = node => nodes[now.filter === "all" ? "total" : now.filter][node];
const openOf = node => now.filter === "open" ? count(node) : nodes.open[node];
const passes = item => now.filter === "all" ||
  Boolean(items.state[item] & (now.filter === "open" ? OPEN : DOUBTED));
const childrenOf = node => now.filter === "all" ? nodes.children[node] :
  nodes.children[node].filter(n => count(n) > 0).sort((a, b) => count(b) - count(a));

function choose(node, item = -1, zooms = true) {
  now.node = node;
  now.item = item;
  for (const above of pathOf(nodes.parent[node])) unfolded.add(above);
  if (zooms) zoom = {node: childrenOf(node).length ? node : Math.max(nodes.parent[node], 0), from: 0};
  drawAll();
  showRow();
}

function remember() {
  const words = new URLSearchParams();
  if (now.node) words.set("node", nodes.id[now.node]);
  if (now.item >= 0 && items.id) words.set("item", items.id[now.item]);
  if (now.filter !== "all") words.set("filter", now.filter);
  if (now.find) words.set("find", now.find);
  const wanted = words.size ? `#${words}` : "#";
  if (location.hash !== wanted && (location.hash || words.size)) history.replaceState(null, "", wanted);
}

/* Shows what the address says; what it names and the page has not is left out. */
function restore() {
  const words = new URLSearchParams(location.hash.slice(1));
  const filter = words.get("filter");
  now.filter = ["open", "doubted"].includes(filter) ? filter : "all";
  now.find = words.get("find") || "";
  $("filter").value = now.filter;
  $("find").value = now.find;
  const item = items.id && words.get("item") ? items.id.indexOf(words.get("item")) : -1;
  const node = nodes.row.get(words.get("node")) ?? (item >= 0 ? nodeOf(item) : 0);
  choose(node, item);
  search();
}

function drawAll() {
  drawTree();
  drawIcicle();
  drawPanel();
  remember();
}

/* ---- the fold-out list ------------------------------------------------------------------ */

let rows = [], fullBar = 1;  // items that a bar of full length stands for

function drawTree() {
  rows = [];
  const waiting = childrenOf(0).map((node, n, all) => [node, n + 1, all.length]).reverse();
  while (waiting.length) {
    const row = waiting.pop();
    rows.push(row);
    if (!unfolded.has(row[0])) continue;
    const below = childrenOf(row[0]);
    for (let n = below.length - 1; n >= 0; n--) waiting.push([below[n], n + 1, below.length]);
  }
  fullBar = nodes.children[0].reduce((most, node) => Math.max(most, count(node)), 1);
  $("scale").textContent = counted(fullBar, "item", "items");
  $("rows").style.height = `${rows.length * ROW}px`;
  drawRows();
}

/* Only the rows in view are elements, and the chosen one, which assistive technology is told of. */
function drawRows() {
  const frame = $("tree");
  const first = Math.max(0, Math.floor(frame.scrollTop / ROW) - 8);
  const end = Math.min(rows.length, Math.ceil((frame.scrollTop + frame.clientHeight) / ROW) + 8);
  const drawn = [];
  for (let at = first; at < end; at++) drawn.push(rowElement(at));
  const chosen = rows.findIndex(row => row[0] === now.node);
  if (chosen >= 0 && (chosen < first || chosen >= end)) drawn.push(rowElement(chosen));
  $("rows").replaceChildren(...drawn);
  if (chosen >= 0) $("rows").setAttribute("aria-activedescendant", `n${now.node}`);
  else $("rows").removeAttribute("aria-activedescendant");
}

function barOf(node) {
  const width = 100 * count(node) / fullBar, open = count(node) ? openOf(node) / count(node) : 0;
  return make("span", {class: isAside(node) ? "bar aside" : "bar", "aria-hidden": "true"},
    make("i", {style: `width:${(width * (1 - open)).toFixed(2)}%`}),
    make("i", {class: "open", style: `width:${(width * open).toFixed(2)}%`}));
}

function marksOf(node) {
  const given = nodes.given[node];
  const said = node && given ? [`${text(given)} given ${given > 1 ? "labels" : "label"} in doubt`] : [];
  return [...(about.marks[node] || []), ...said].map(mark => make("mark", {}, mark));
}

function rowElement(at) {
  const [node, place, size] = rows[at];
  const folds = childrenOf(node).length > 0;
  return make("li", {
    id: `n${node}`, role: "treeitem", "aria-level": nodes.depth[node], "aria-posinset": place,
    "aria-setsize": size, "aria-selected": String(node === now.node),
    "aria-expanded": folds ? String(unfolded.has(node)) : null,
    style: `top:${at * ROW}px;padding-left:${nodes.depth[node] - 1}rem`, "data-node": node,
  },
  make("span", {class: folds ? "twist" : "twist none", "aria-hidden": "true"}),
  make("bdi", {class: "name"}, nodes.name[node]), ...marksOf(node),
  make("span", {class: "count"}, text(count(node))), barOf(node));
}

/* Scrolls the list to the chosen node. */
function showRow() {
  const at = rows.findIndex(row => row[0] === now.node), frame = $("tree");
  if (at < 0) return;
  if (at * ROW < frame.scrollTop) frame.scrollTop = at * ROW;
  else if ((at + 1) * ROW > frame.scrollTop + frame.clientHeight) {
    frame.scrollTop = (at + 1) * ROW - frame.clientHeight;
  }
  drawRows();
}

function toggle(node) {
  if (!unfolded.delete(node) && childrenOf(node).length) unfolded.add(node);
}

$("rows").onclick = event => {
  const row = event.target.closest("li");
  if (!row) return;
  toggle(Number(row.dataset.node));
  choose(Number(row.dataset.node));
};

$("rows").onkeydown = event => {
  const at = rows.findIndex(row => row[0] === now.node), node = at < 0 ? 0 : now.node;
  const folds = node > 0 && childrenOf(node).length > 0;
  const go = row => rows[row] && choose(rows[row][0]);
  const keys = {
    ArrowDown: () => go(at + 1), ArrowUp: () => go(Math.max(at - 1, 0)),
    Home: () => go(0), End: () => go(rows.length - 1),
    ArrowRight: () => {
      if (!folds) return;
      if (unfolded.has(node)) go(at + 1);
      else { unfolded.add(node); choose(node); }
    },
    ArrowLeft: () => {
      if (unfolded.delete(node)) choose(node);
      else if (nodes.parent[node] > 0) choose(nodes.parent[node]);
    },
    Enter: () => { toggle(node); choose(node); },
    " ": () => { toggle(node); choose(node); },
  };
  if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key] || !rows.length) return;
  event.preventDefault();
  keys[event.key]();
};

/* ---- the icicle ------------------------------------------------------------------------- */

/* The boxes to draw: `node, column, top, height`, or `rest`, a number of nodes too small to draw. */
function boxes(height, columns) {
  const found = [{node: zoom.node, column: 0, top: 0, height}];
  const below = (node, column, top, scale) => {
    const children = childrenOf(node);
    for (let n = 0; n < children.length; n++) {
      const own = count(children[n]) * scale;
      if (own < 3) {
        const rest = children.slice(n).reduce((sum, child) => sum + count(child), 0) * scale;
        if (rest >= 3) found.push({rest: children.length - n, column, top, height: rest});
        return;
      }
      found.push({node: children[n], column, top, height: own});
      if (column + 1 < columns) below(children[n], column + 1, top, scale);
      top += own;
    }
  };
  const children = childrenOf(zoom.node).slice(zoom.from);
  const all = children.reduce((sum, child) => sum + count(child), 0);
  // Items right below the node leave a gap.
  const sum = zoom.from ? all : count(zoom.node);
  let shown = children.filter(child => count(child) * height / sum >= LEAST);
  if (shown.length < children.length && !shown.length) shown = children.slice(0, height / 20);
  const rest = children.slice(shown.length), strip = rest.length ? STRIP : 0;
  const drawn = shown.reduce((part, child) => part + count(child), 0);
  const scale = (height - strip) / (rest.length ? drawn : sum || 1);
  let top = 0;
  for (const child of shown) {
    found.push({node: child, column: 1, top, height: count(child) * scale});
    if (columns > 2) below(child, 2, top, scale);
    top += count(child) * scale;
  }
  if (rest.length) {
    const items = rest.reduce((part, child) => part + count(child), 0);
    const from = zoom.from + shown.length, top = height - strip;
    found.push({rest: rest.length, column: 1, top, height: strip, from, items});
  }
  return found;
}

/* Where a box leads: to its node, and from the one at the left up, if it is all that is shown. */
const upwards = node => node === zoom.node && node === now.node && !zoom.from ?
  Math.max(nodes.parent[node], 0) : node;

function drawIcicle() {
  const frame = $("icicle"), had = frame.contains(document.activeElement);
  const most = frame.clientWidth < 500 ? COLUMNS - 1 : COLUMNS;
  const columns = Math.min(1 + nodes.tall[zoom.node], most);
  const narrow = columns > 1 ? 16 : 100, wide = (100 - narrow) / Math.max(columns - 1, 1);  // percent
  const drawn = boxes(frame.clientHeight, columns);
  const tabbed = drawn.some(box => box.node === now.node) ? now.node : zoom.node;
  frame.replaceChildren(...drawn.map(box => {
    const left = box.column ? narrow + (box.column - 1) * wide : 0;
    const style = `left:${left}%;width:${box.column ? wide : narrow}%;top:${box.top.toFixed(2)}px;` +
      `height:${Math.max(box.height - 1, 1).toFixed(2)}px`;
    if (box.node === undefined && box.from === undefined) {
      const title = counted(box.rest, "smaller node", "smaller nodes");
      return make("div", {class: "rest", style, title});
    }
    if (box.node === undefined) {
      return make("button", {type: "button", class: "rest", style, onclick: () => {
        zoom = {node: zoom.node, from: box.from};
        drawIcicle();
      }}, `${text(box.rest)} smaller, ${counted(box.items, "item", "items")}`);
    }
    const name = nodes.name[box.node], many = count(box.node), open = openOf(box.node);
    const said = counted(many, "item", "items");
    return make("button", {
      type: "button", "data-node": box.node, tabindex: box.node === tabbed ? 0 : -1,
      style: `${style};--waits:${(100 * open / Math.max(many, 1)).toFixed(1)}%`,
      class: `${isAside(box.node) ? "aside" : ""} ${box.height < 16 ? "small" : ""}`,
      "aria-current": box.node === now.node ? "true" : null,
      "aria-label": `${name}, ${said}, ${text(open)} open`, title: `${name}: ${said}`,
      onclick: () => choose(upwards(box.node)),
    }, ...(box.height < 11 ? [] : [make("bdi", {}, name), make("small", {}, text(many))]));
  }));
  if (had) focusBox(tabbed);
}

const focusBox = node => document.querySelector(`#icicle [data-node="${node}"]`)?.focus();

$("icicle").onkeydown = event => {
  const at = Number(event.target.dataset.node ?? NaN);
  if (Number.isNaN(at) || event.ctrlKey || event.metaKey || event.altKey) return;
  const drawn = node => document.querySelector(`#icicle [data-node="${node}"]`);
  const siblings = childrenOf(Math.max(nodes.parent[at], 0)), place = siblings.indexOf(at);
  const keys = {
    ArrowDown: () => siblings[place + 1], ArrowUp: () => siblings[place - 1],
    ArrowRight: () => childrenOf(at).find(drawn), ArrowLeft: () => nodes.parent[at],
    Escape: () => { choose(upwards(zoom.node)); return now.node; },
  };
  if (!keys[event.key]) return;
  event.preventDefault();
  const target = keys[event.key]();
  if (target === undefined || target < 0) return;
  if (!drawn(target)) choose(target);
  drawn(target)?.focus();
};

/* ---- what is chosen, with pictures and items -------------------------------------------- */

let listed = CHUNK;
let panelOf = "";

function itemsBelow(node) {
  const found = [];
  for (let item = nodes.first[node]; item < nodes.last[node]; item++) if (passes(item)) found.push(item);
  return found;
}

/* Items with a picture, from each of the nodes below in turn. */
function examplesOf(node, below) {
  const groups = new Map();
  for (const item of below) {
    if (!pictures.has(item)) continue;
    const group = pathOf(nodeOf(item))[nodes.depth[node]] ?? node;
    groups.set(group, [...(groups.get(group) ?? []), item]);
  }
  const found = [];
  for (let turn = 0; found.length < EXAMPLES; turn++) {
    const here = [...groups.values()].map(group => group[turn]).filter(item => item !== undefined);
    if (!here.length) break;
    found.push(...here.slice(0, EXAMPLES - found.length));
  }
  return found;
}

function stateOf(item, node) {
  const state = items.state[item];
  const said = state & OPEN ? "open for review" : state & 1 ? "decided by people" :
    isAside(node) ? "no label" : "accepted";
  return state & DOUBTED ? `${said}; given label in doubt: ${items.given.get(item)}` : said;
}

const linkTo = (address, words, label = null) => address ?
  make("a", {href: address, rel: "noreferrer", "aria-label": label}, words) : null;

function itemElement(item) {
  const node = nodeOf(item), address = addressOf(item);
  return make("li", {"aria-current": item === now.item ? "true" : null},
    make("button", {type: "button", class: "plain", onclick: () => choose(now.node, item, false)},
      make("bdi", {}, items.name[item])),
    make("span", {class: items.state[item] & OPEN ? "state waits" : "state"}, stateOf(item, node)),
    node === now.node ? null : make("bdi", {class: "soft"}, nodes.name[node]),
    linkTo(address, "source", `Source of ${items.name[item]}`));
}

function chosenItem() {
  const item = now.item, address = addressOf(item), node = nodeOf(item);
  const picture = pictures.has(item) ? make("img", {src: pictureOf(item), alt: ""}) : null;
  return make("section", {id: "item", "aria-label": "Chosen item"}, picture,
    make("div", {}, make("h3", {}, make("bdi", {}, items.name[item])),
      make("p", {}, [...pathOf(node)].reverse().map(step => nodes.name[step]).join(" › ")),
      make("p", {}, stateOf(item, node), items.id ? ` · ${items.id[item]}` : ""),
      linkTo(address, "Source")));
}

function pathElement(node) {
  const step = at => make("button", {
    type: "button", class: "plain", "aria-current": at === node ? "page" : null, onclick: () => choose(at),
  }, make("bdi", {}, nodes.name[at]));
  const steps = [0, ...pathOf(node)].flatMap(at => [step(at), " › "]);
  return make("nav", {"aria-label": "Path"}, ...steps.slice(0, -1));
}

function countsText(node) {
  const {total, open, decided, blank, doubted} = nodes;
  const parts = [
    [total[node] - open[node] - decided[node] - blank[node], "accepted automatically"],
    [decided[node], "decided by people"], [open[node], "open for review"],
    [blank[node], "without a label"], [doubted[node], "with a given label in doubt"],
  ].filter(([many]) => many).map(([many, what]) => `${text(many)} ${what}`);
  return `${counted(nodes.total[node], "item", "items")}${parts.length ? ":" : ""} ${parts.join(", ")}`;
}

function pictureElement(item) {
  return make("button", {
    type: "button", class: "picture", "aria-current": item === now.item ? "true" : null,
    onclick: () => choose(now.node, item, false),
  }, make("img", {src: pictureOf(item), alt: "", loading: "lazy"}), make("bdi", {}, items.name[item]));
}

function drawPanel() {
  const node = now.node, view = `${node} ${now.filter}`;
  if (panelOf !== view) listed = CHUNK;
  panelOf = view;
  const below = itemsBelow(node), more = below.length - listed, marks = marksOf(node);
  const shown = examplesOf(node, below).map(pictureElement), qid = nodes.qid[node];
  const stopped = node && nodes.children[node].length ? nodes.direct[node] : 0;
  const heading = now.filter === "all" ? "Items" : $("filter").selectedOptions[0].dataset.name;
  $("panel").replaceChildren(...[
    pathElement(node),
    make("h2", {}, make("bdi", {}, nodes.name[node]), " ",
      make("span", {class: "soft"}, node ? levelOf(node) : "")),
    nodes.text[node] ? make("p", {dir: "auto"}, nodes.text[node]) : null,
    make("p", {}, countsText(node)),
    stopped ? make("p", {}, `Without a finer label: ${text(stopped)}`) : null,
    marks.length ? make("p", {}, ...marks) : null,
    qid ? make("p", {}, linkTo(`https://www.wikidata.org/wiki/${encodeURIComponent(qid)}`,
      `${qid} on Wikidata`)) : null,
    now.item >= 0 ? chosenItem() : null,
    shown.length ? make("div", {class: "pictures", role: "group", "aria-label": "Pictures of examples"},
      ...shown) : null,
    below.length ? make("h3", {}, heading) : null,
    make("ul", {class: "items"}, ...below.slice(0, listed).map(itemElement)),
    more > 0 ? make("button", {type: "button", id: "more", onclick: () => {
      listed += 4 * CHUNK;
      drawPanel();
    }}, `Show more (${text(more)} left)`) : null,
  ].filter(Boolean));
}

/* ---- search and filter ------------------------------------------------------------------ */

const fold = words => words.toLowerCase().normalize("NFD").replace(/\p{M}/gu, "");

function search() {
  now.find = $("find").value.trim();
  const words = fold(now.find).split(/\s+/).filter(Boolean);
  $("results").hidden = !words.length;
  $("tree").hidden = words.length > 0;
  if (!words.length) {
    $("said").textContent = "";
    drawRows();
    remember();
    return;
  }
  items.folded ??= items.name.map(fold);
  const has = folded => words.every(word => folded.includes(word));
  const foundNodes = [], foundItems = [];
  for (let n = 1; n < nodes.id.length; n++) {
    if (count(n) && has(fold(nodes.name[n]))) foundNodes.push(n);
  }
  for (let n = 0; n < items.name.length; n++) {
    if (has(items.folded[n]) && passes(n)) foundItems.push(n);
  }
  const own = items.id ? items.id.indexOf(now.find) : -1;
  if (own >= 0 && passes(own) && !foundItems.includes(own)) foundItems.unshift(own);
  // What starts with the first word comes first.
  const early = (all, name) => {
    const starts = n => name(n).startsWith(words[0]);
    return [...all.filter(starts), ...all.filter(n => !starts(n))].slice(0, FOUND);
  };
  const path = node => pathOf(node).reverse().map(step => nodes.name[step]).join(" › ");
  const line = (name, where, act) => make("li", {}, make("button", {type: "button", onclick: act},
    make("bdi", {}, name), make("span", {class: "soft"}, where)));
  const cut = foundNodes.length > FOUND || foundItems.length > FOUND;
  $("said").textContent = `${counted(foundNodes.length, "node", "nodes")} and ` +
    `${counted(foundItems.length, "item", "items")} found` +
    (cut ? `; the first ${FOUND} of each are listed` : "");
  $("results").replaceChildren(
    ...early(foundNodes, n => fold(nodes.name[n])).map(n => line(`${nodes.name[n]} (${text(count(n))})`,
      path(nodes.parent[n]) || levelOf(n), () => choose(n))),
    ...early(foundItems, n => items.folded[n]).map(n =>
      line(items.name[n], path(nodeOf(n)), () => choose(nodeOf(n), n))));
  remember();
}

$("find").oninput = search;
$("find").onkeydown = event => {
  if (event.key === "Enter") $("results").querySelector("button")?.click();
};
$("filter").onchange = () => {
  now.filter = $("filter").value;
  if (now.item >= 0 && !passes(now.item)) now.item = -1;
  choose(count(now.node) ? now.node : 0, now.item);
  search();
};
$("unfold").onclick = () => {
  nodes.id.forEach((_, node) => nodes.children[node].length && unfolded.add(node));
  drawTree();
};
$("fold").onclick = () => {
  unfolded.clear();
  choose(pathOf(now.node)[0] ?? 0);
};
let waiting = 0;
$("tree").onscroll = () => {
  cancelAnimationFrame(waiting);
  waiting = requestAnimationFrame(drawRows);
};
addEventListener("resize", () => nodes && drawAll());
addEventListener("hashchange", restore);

function begin() {
  for (const option of $("filter").options) {
    option.dataset.name = option.textContent;
    const many = nodes[option.value === "all" ? "total" : option.value][0];
    option.textContent += ` (${text(many)})`;
    option.disabled = option.value !== "all" && !many;
  }
  if (nodes.children[0].length <= 3) nodes.children[0].forEach(node => unfolded.add(node));
  restore();
  document.documentElement.dataset.ready = "yes";
  performance.mark("ready");
}

load().then(begin, error => {
  $("said").textContent = "This browser cannot unpack the page's data; use one of 2023 or later.";
  console.error(error);
});
