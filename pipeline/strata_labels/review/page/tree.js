"use strict";
// Editing the tree: a node and what is below it, an edit, what it would change, recording it.

const EDITS = {
  rename: ["Rename", "New name"], describe: ["Describe", "What belongs to it, with commas between"],
  create: ["Create a node below", "Name of the new node"], split: ["Split off", "Name of the new node"],
  move: ["Move under", "Find the node above"], merge: ["Merge into", "Find the node of the same level"],
};
const BY_NODE = ["move", "merge"];
let node = null, nodeAt = "";  // what the dialog shows, and its id
let targets = 0;  // numbers the searches: an answer that comes late is not shown

// Opens the dialog at the node of the row that is shown, or at the top.
async function openTree(word = "rename") {
  if (BLIND) { say("The tree is not edited in a blind review."); return; }
  $("tree-query").value = "";
  await showNode(now.row && !now.row.is_item && !now.row.is_lost ? now.row.subject : "", word);
  $("tree").showModal();
  (node ? $("tree-text") : $("tree-query")).focus();
}

const treeOf = (id, more = {}) => ask("tree?" + new URLSearchParams({ node: id, ...more }));
const fillNode = async (id, word) => {
  const answer = await treeOf(id);
  if (answer.status !== 200) { warn(answer.message); return; }
  node = answer.node;
  nodeAt = node ? id : "";
  const step = (at, name) => make("button", { type: "button", onclick: () => showNode(at) }, name);
  $("tree-path").replaceChildren(step("", "The whole tree"), ...(node ? [...node.above].reverse().map(at => step(at.node, at.name)) : []));
  $("tree-name").textContent = node ? `${node.name} (${node.level}, ${plural(node.size, node.kinds[0], node.kinds[0] + "s")})` : "Choose a node";
  $("tree-about").textContent = node ? node.text : "";
  listNodes(answer.below);
  $("tree-form").hidden = !node;
  if (!node) return;
  const level = node.level_number;
  const words = Object.keys(EDITS).filter(one => !(one === "create" && level < 2) && !(one === "move" && node.top));
  $("tree-word").replaceChildren(...words.map(one => make("option", { value: one, selected: one === word }, EDITS[one][0])));
  const members = answer.items.length ? answer.items : answer.below;
  $("tree-members").replaceChildren(make("legend", {}, "What goes there"), ...members.map(at =>
    make("label", {}, make("input", { type: "checkbox", value: at.node, onchange: stale }), ` ${at.name}`)));
  chooseWord();
};
const showNode = (id, word) => during(() => fillNode(id, word));

function listNodes(nodes) {
  $("tree-below").replaceChildren(...nodes.map(at => make("li", {}, make("button", { type: "button", onclick: () => showNode(at.node) },
    make("strong", { dir: "auto" }, at.name), " ",
    make("span", { class: "up" }, [number.format(at.size), at.level].join(" · "))))));
}

function chooseWord() {
  const word = $("tree-word").value;
  $("tree-label").textContent = EDITS[word][1];
  $("tree-text").value = word === "rename" ? node.name : word === "describe" ? node.text : "";
  $("tree-target-field").hidden = !BY_NODE.includes(word);
  $("tree-members").hidden = word !== "split";
  if (BY_NODE.includes(word)) findTarget();
  stale();
}
// The change that is shown is of another edit now.
function stale() {
  $("tree-change").replaceChildren();
  $("tree-record").disabled = true;
}
async function findTarget() {
  const mine = ++targets;
  const answer = await treeOf(nodeAt, { for: $("tree-word").value, q: $("tree-text").value });
  if (mine !== targets || answer.status !== 200) return;
  $("tree-target").replaceChildren(...answer.found.map(at => make("option", { value: at.node }, at.path.map(step => step.name).join(" › "))));
  stale();
}
function target() {
  const word = $("tree-word").value, name = $("tree-text").value.trim();
  if (BY_NODE.includes(word)) return $("tree-target").value;
  const members = word === "split" ? [...$("tree-members").querySelectorAll(":checked")].map(box => box.value) : [];
  // As `join_members` writes a bar in an id.
  const written = members.map(id => id.replace(/%(?=(?:25)*7C)/g, "%25").replaceAll("|", "%7C"));
  return [name, ...written].join("|");
}

const previewEdit = () => during(async () => {
  const answer = await ask("preview?" + new URLSearchParams({ node: nodeAt, decision: $("tree-word").value, target: target() }));
  const right = answer.status === 200;
  $("tree-change").replaceChildren(...(right ? answer.lines : [answer.message]).map(line => make("li", {}, line)));
  $("tree-record").disabled = !right;
  if (right) $("tree-record").focus();
});
const recordEdit = () => during(async () => {
  const answer = await ask("edit", { state: now.state, row_id: now.row ? now.row.row_id : "", node: nodeAt, decision: $("tree-word").value, target: target() });
  take(answer);
  if (answer.status === 200) await fillNode(nodeAt, $("tree-word").value);
  $("tree-change").replaceChildren(make("li", {}, answer.message));
  $("tree-word").focus();
});
const undoEdit = async () => {
  await undo();
  await showNode(nodeAt, $("tree-word").value);
  $("tree-change").replaceChildren(make("li", {}, $("said").textContent));
};

$("tree-query").oninput = async () => {
  const text = $("tree-query").value;
  const answer = await treeOf(text.trim() ? "" : nodeAt, { q: text });
  if (answer.status === 200 && text === $("tree-query").value) listNodes(text.trim() ? answer.found : answer.below);
};
$("tree-word").onchange = chooseWord;
$("tree-text").oninput = () => { stale(); if (BY_NODE.includes($("tree-word").value)) findTarget(); };
$("tree-target").onchange = stale;
$("tree-form").onsubmit = event => { event.preventDefault(); if (!busy) previewEdit(); };
$("tree-record").onclick = recordEdit;
$("tree-undo").onclick = undoEdit;
KEYS.t = () => openTree();
KEYS.e = () => now.row && !now.row.is_item && !now.row.is_lost && openTree();
