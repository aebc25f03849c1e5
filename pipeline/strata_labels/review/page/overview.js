"use strict";
// Looking over the review: filters with progress by node, jumping to a row, and what was decided.

const FILTERS = ["node", "level", "reason", "reviewer", "split", "from", "to"];

function filtered() { return FILTERS.some(name => view[name]); }

// Shows what the filters let through, from its first row.
const refilter = () => during(async () => {
  reopened = "";
  waitFor([]);
  take(await show({}));
});
function clearFilters() {
  for (const name of FILTERS) delete view[name];
  $("filters").close();
  refilter();
}
function setFilter(name, value) {
  if (value) view[name] = value;
  else delete view[name];
}

// The chosen filters above the row; a click takes one away.
function drawFilters() {
  const names = { from: "at least", to: "at most" };
  const text = (name, value) => ["from", "to"].includes(name) ? `${names[name]} ${whole.format(value)} likely` : `${name}: ${labels[name]?.[value] || value}`;
  $("chosen").replaceChildren(...FILTERS.filter(name => view[name]).map(name =>
    make("button", { type: "button", class: "chip", "aria-label": `Remove the filter ${text(name, view[name])}`, onclick: () => { setFilter(name, ""); refilter(); } }, text(name, view[name]), " ×")));
  if (filtered()) $("chosen").append(make("span", {}, plural(now.left, "open row", "open rows")));
  $("chosen").hidden = !filtered();
}

let labels = {};  // names of filter values

async function openFilters() {
  await fillFilters();
  $("filters").showModal();
}
const fillFilters = () => during(async () => {
  const found = await ask("facets?" + asView());
  if (found.status !== 200) { warn(found.message); return; }
  const choose = (name, text, options) => {
    labels[name] = Object.fromEntries(options.map(option => [option.value, option.name]));
    const list = make("select", { id: `by-${name}`, onchange: event => { setFilter(name, event.target.value); applyFilters(); } },
      make("option", { value: "" }, "all"),
      options.map(option => make("option", { value: option.value, selected: view[name] === option.value }, `${option.name} (${number.format(option.count)})`)));
    if (view[name] && !options.some(option => option.value === view[name])) list.append(make("option", { value: view[name], selected: true }, `${view[name]} (0)`));
    return make("label", {}, text, list);
  };
  const doubted = found.reasons.find(reason => reason.value === "label_issue");
  const bins = found.confidence.filter(bin => bin.count);
  $("filter-fields").replaceChildren(
    choose("level", "Level", found.levels), choose("reason", "Why it is open", found.reasons),
    choose("reviewer", "Decided on by", found.reviewers), choose("split", "Split", found.splits),
    make("fieldset", {}, make("legend", {}, "How likely the present place is"),
      bins.map(bin => make("button", { type: "button", "aria-pressed": String(view.from === String(bin.from) && view.to === String(bin.to)), onclick: () => { setFilter("from", String(bin.from)); setFilter("to", String(bin.to)); applyFilters(); } },
        `${whole.format(bin.from)} to ${whole.format(bin.to)} (${number.format(bin.count)})`))),
    make("button", { type: "button", "aria-pressed": String(view.reason === "label_issue"), disabled: !doubted, onclick: () => { setFilter("reason", "label_issue"); applyFilters(); } },
      `Published label doubted (${number.format(doubted ? doubted.count : 0)})`));
  const { path, below } = found.nodes;
  labels.node = Object.fromEntries([...path, ...below].map(at => [at.node, at.name]));
  const line = (at, chosen) => {
    const done = at.decided + at.open ? at.decided / (at.decided + at.open) : 1;
    const bar = make("span", { class: "bar", "aria-hidden": "true" }, make("i"));
    bar.firstChild.style.width = `${100 * done}%`;
    return make("li", {}, make("button", { type: "button", "aria-pressed": String(chosen), onclick: () => { setFilter("node", at.node); applyFilters(); } },
      make("strong", { dir: "auto" }, at.name), bar,
      make("span", { class: "up" }, `${number.format(at.open)} open, ${number.format(at.decided)} decided of ${number.format(at.items)}` + (at.expected === null || BLIND ? "" : `; about ${whole.format(at.expected)} of the labels right`))));
  };
  $("filter-nodes").replaceChildren(
    make("li", {}, make("button", { type: "button", "aria-pressed": String(!view.node), onclick: () => { setFilter("node", ""); applyFilters(); } }, make("strong", {}, "The whole tree"))),
    ...path.map(at => line(at, at.node === view.node)), ...below.map(at => line(at, false)));
  const { now: share, ahead } = now.progress;
  $("plan").replaceChildren(...(share === null ? [] : [
    make("li", {}, `Now about ${percent.format(share)} of the labels are expected to be right.`),
    ...ahead.map(([count, right]) => make("li", {}, `With ${number.format(count)} more answers you gain about ${(100 * (right - share)).toFixed(1)} points: ${percent.format(right)}.`))]));
  $("filter-total").textContent = `${plural(found.shown, "open row", "open rows")} under these filters`;
});
async function applyFilters() {
  const focused = document.activeElement && document.activeElement.id;
  await refilter();
  await fillFilters();
  if (focused && $(focused)) $(focused).focus();
}

// --- jump to any row --------------------------------------------------------------------

const STATES = { open: "open", decided: "decided", accepted: "accepted without review" };
const openJump = finder("jump", {
  query: $("jump-query"), list: $("jump-found"), hint: $("jump-hint"),
  look: q => ask("find?" + new URLSearchParams({ q })),
  line: row => [
    make("span", { class: "size" }, STATES[row.state]), make("strong", { dir: "auto" }, row.name), " ",
    make("span", { class: "up" }, [row.kind, row.place, row.subject].filter(Boolean).join(" · "))],
  tell: ({ found }) => {
    if (found.length) return "Enter or a click opens it; with Shift, on a node, it shows the open rows below it.";
    return $("jump-query").value.trim() ? "No item and no node has this name or id." : "";
  },
  take: (row, { shiftKey }) => {
    if (!shiftKey || row.is_item) { openRow(row.row_id); return; }
    setFilter("node", row.subject);
    labels.node = { ...labels.node, [row.subject]: row.name };
    refilter();
  },
});
// Shows any row, decided or not, by itself.
const openRow = row => during(async () => {
  reopened = row;
  take(await show({ row, single: "yes", reopen: "yes" }));
});

// --- what was decided -------------------------------------------------------------------

const WORDS = { keep: "kept", move: "moved to", merge: "merged into", stop: "stopped at", exclude: "excluded", unsure: "unsure", same: "is now", rename: "renamed", describe: "described as", create: "created below", split: "split off" };

async function openDecided() {
  await fillDecided();
  $("decided").showModal();
}
const fillDecided = (start = 0) => during(async () => {
  const answer = await ask("decided?" + new URLSearchParams({ by: $("decided-by").value, q: $("decided-query").value, start }));
  if (answer.status !== 200) { warn(answer.message); return; }
  const by = $("decided-by").value;
  $("decided-by").replaceChildren(make("option", { value: "" }, "everyone"),
    ...answer.reviewers.map(one => make("option", { value: one.name, selected: one.name === by }, `${one.name} (${number.format(one.count)})`)));
  $("decided-list").replaceChildren(...answer.answers.map(one => make("li", { class: one.fate === "taken back" || one.fate === "changed later" ? "past" : "" },
    make("p", {}, make("strong", { dir: "auto" }, one.names.join(", ") + (one.size > one.names.length ? ` and ${number.format(one.size - one.names.length)} more` : "")),
      ` ${WORDS[one.decision] || one.decision} ${one.target}`),
    make("p", { class: "up" }, [one.reviewer, one.time.slice(0, 16).replace("T", " "), one.note, one.fate].filter(Boolean).join(" · ")),
    make("p", { class: "actions" },
      one.known ? make("button", { type: "button", onclick: () => { $("decided").close(); openRow(one.row_ids[0]); } }, "Change", make("span", { class: "sr" }, ` the answer on ${one.names[0]}`)) : null,
      one.mine ? make("button", { type: "button", onclick: () => withdraw(one) }, "Withdraw", make("span", { class: "sr" }, ` the answer on ${one.names[0]}`)) : null))));
  const last = start + answer.answers.length;
  $("decided-total").textContent = answer.total ? `${number.format(start + 1)} to ${number.format(last)} of ${plural(answer.total, "answer", "answers")}` : "No such answer";
  $("decided-earlier").hidden = last >= answer.total;
  $("decided-earlier").onclick = () => fillDecided(last);
});
const withdraw = async one => {
  await during(async () => take(await ask("withdraw", {
    state: now.state, row_id: now.row ? now.row.row_id : "", time: one.time, decision: one.decision, target: one.target_id, view: asView({ single: now.row && !now.row.grid ? "yes" : "" }),
  })));
  await fillDecided();
};
$("decided-by").onchange = () => fillDecided();
$("decided-query").oninput = () => fillDecided();
$("filters-clear").onclick = clearFilters;
