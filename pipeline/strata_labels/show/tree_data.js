"use strict";
/* Unpacks nodes, items and pictures of the tree page, see `page_data.py`. */

const $ = id => document.getElementById(id);
const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;,=>?@^_`{|}~";

/* The bytes that an element has in base 85, their number first. */
function bytesOf(id) {
  const written = $(id).textContent, digit = new Uint8Array(128);
  [...DIGITS].forEach((sign, n) => { digit[sign.charCodeAt(0)] = n; });
  const bytes = new Uint8Array(written.length / 5 * 4), view = new DataView(bytes.buffer);
  for (let from = 0, to = 0; from < written.length; to += 4) {
    let number = 0;
    for (let n = 0; n < 5; n++) number = number * 85 + digit[written.charCodeAt(from++)];
    view.setUint32(to, number);
  }
  return bytes.subarray(4, 4 + view.getUint32(0));
}

async function sections() {
  const stream = new Blob([bytesOf("data")]).stream();
  const whole = await new Response(
    stream.pipeThrough(new DecompressionStream("deflate-raw"))).arrayBuffer();
  const view = new DataView(whole), found = [];
  for (let at = 0; at < whole.byteLength;) {
    const length = view.getUint32(at, true);
    found.push(new Uint8Array(whole, at + 4, length));
    at += 4 + length;
  }
  return found;
}

const utf8 = bytes => new TextDecoder().decode(bytes);
const linesOf = bytes => bytes.length ? utf8(bytes).split("\n") : [];

function unshared(lines) {
  let before = "";
  return lines.map(line => before = before.slice(0, line.charCodeAt(0) - 32) + line.slice(1));
}

function idsOf(starts, which, planes, plain) {
  if (plain.length) return unshared(linesOf(plain));
  if (!starts.length) return null;
  const known = JSON.parse(utf8(starts)), count = which.length;
  return Array.from(which, (start, n) => {
    const number = planes[n] + planes[count + n] * 256 + planes[2 * count + n] * 65536 +
      planes[3 * count + n] * 16777216;
    return known[start].endsWith("\n") ? known[start].slice(0, -1) : known[start] + number;
  });
}

let about, nodes, items, pictures = new Map();

async function load() {
  const [head, states, starts, which, planes, plain, names, addresses] = await sections();
  about = JSON.parse(utf8(head));
  nodes = about.nodes;
  const count = nodes.id.length;
  nodes.parent = new Int32Array(count).fill(-1);
  nodes.children = Array.from({length: count}, () => []);
  nodes.first = new Int32Array(count);
  nodes.last = new Int32Array(count);  // rows of the items below: first to last - 1
  const path = [];
  for (let n = 0, row = 0; n < count; n++) {
    while (path.length > nodes.depth[n]) nodes.last[path.pop()] = row;
    if (path.length) {
      nodes.parent[n] = path.at(-1);
      nodes.children[path.at(-1)].push(n);
    }
    nodes.first[n] = row;
    row += about.listed[n];
    path.push(n);
    if (n === count - 1) for (const one of path) nodes.last[one] = row;
  }
  nodes.tall = new Int32Array(count);  // levels of nodes below
  for (let n = count - 1; n > 0; n--) {
    nodes.tall[nodes.parent[n]] = Math.max(nodes.tall[nodes.parent[n]], nodes.tall[n] + 1);
  }
  nodes.row = new Map(nodes.id.map((id, n) => [id, n]));
  items = {
    name: unshared(linesOf(names)), state: states, id: idsOf(starts, which, planes, plain),
    line: linesOf(addresses), given: new Map(about.given), folded: null,
  };
  let at = 0;
  const content = bytesOf("pictures");
  for (const [row, length] of JSON.parse($("picture-rows").textContent)) {
    pictures.set(row, content.subarray(at, at += length));
  }
}

function addressOf(item) {
  const line = items.line[item] || "";
  if (line[0] === "=") return about.start + items.name[item].replaceAll(" ", "_") + line.slice(1);
  return line[0] === "+" ? about.start + line.slice(1) : line;
}

/* The address of a picture, made when it is first shown. */
function pictureOf(item) {
  const found = pictures.get(item);
  if (!(found instanceof Uint8Array)) return found;
  pictures.set(item, URL.createObjectURL(new Blob([found], {type: "image/webp"})));
  return pictures.get(item);
}

/* The node right above an item. */
function nodeOf(item) {
  let low = 0, high = nodes.id.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (nodes.first[middle] <= item) low = middle; else high = middle - 1;
  }
  while (about.listed[low] === 0) low--;
  return low;
}

function pathOf(node) {
  const found = [];
  for (let at = node; at > 0; at = nodes.parent[at]) found.unshift(at);
  return found;
}

const isAside = node => pathOf(node).some(step => nodes.id[step] === about.aside);
const levelOf = node => isAside(node) ? "" : about.levels[about.levels.length - nodes.depth[node]];
