// Edit the chosen leaf by typing or dragging, show what a small change of it does, and check its derivative by
// differences.

import { byId, fieldById, html } from "./elements.js";
import { isEditable } from "./graph.js";
import { called, cleaned } from "./labels.js";
import { changesOf, nudge } from "./nudge.js";
import { placedName } from "./parts.js";
import { session } from "./session.js";
import { exact, filled, filledApart, parsed, precise, shown, signed } from "./text.js";

const MOST_WAYS = 8; // uses of a leaf that are listed
// The graph is computed again for each use of the leaf, so the effect of a change is shown only up to this many nodes.
const MOST_NUDGED = 2000;

const MOST_LISTED = 2000; // leaves in the list; of a larger graph, it has those that are drawn

/** @type {("pointerup" | "pointercancel")[]} */
const ENDS = ["pointerup", "pointercancel"]; // of a drag

const chosenLeaf = () => Number(byId("leaf").value);

function say(text) {
  byId("message").textContent = text;
}

// Say what the reader has asked for, where it is seen.
function reply(text) {
  say(text);
  bring(byId("message"));
}

// Scroll to what the reader has asked for.
function bring(element) {
  element.scrollIntoView({ block: "nearest" });
  broughtTo = sidePanel.scrollTop;
}

const sidePanel = byId("editing").parentElement;
let broughtTo = 0; // how far the panel was scrolled by bring()

/** @param {number} i */
export function chooseLeaf(i) {
  if (byId("leaf").value !== String(i)) forgetChange();
  listLeaves(i);
  byId("leaf").value = String(i);
  if (document.activeElement === byId("value")) byId("value").blur();
  showLeaf();
}

function forgetChange() {
  say("");
  byId("change").value = "0";
}

/**
 * Press a leaf in the picture: a click selects its field, and dragging to the right or left changes its number.
 * @param {number} i
 * @param {PointerEvent} event
 */
export function drag(i, event) {
  event.preventDefault(); // the picture must not move
  chooseLeaf(i);
  dragNumber(
    event,
    () => session.numbers.data[i],
    x => session.edit(i, x),
    () => byId("value").select(),
  );
}

/**
 * Change a number with the pointer until it is released. One pixel is a fiftieth of the number's power of ten. If the
 * pointer did not move, it was a click.
 * @param {PointerEvent} event
 * @param {() => number} read
 * @param {(x: number) => void} write
 */
export function dragNumber(event, read, write, click = () => {}) {
  const start = Number.isFinite(read()) ? read() : 0;
  const unit = 10 ** Math.floor(Math.log10(Math.max(Math.abs(start), 0.5))) / 50;
  let moved = false;
  /** @param {PointerEvent} event */
  const move = ({ clientX, pointerId }) => {
    if (pointerId !== event.pointerId) return;
    moved ||= Math.abs(clientX - event.clientX) > 3;
    if (moved) write(Number((Math.round(start / unit + clientX - event.clientX) * unit).toPrecision(12)));
  };
  /** @param {PointerEvent} event */
  const end = ({ pointerId }) => {
    if (pointerId !== event.pointerId) return;
    removeEventListener("pointermove", move);
    for (const name of ENDS) removeEventListener(name, end);
    if (!moved) click();
  };
  addEventListener("pointermove", move);
  for (const name of ENDS) addEventListener(name, end);
}

function checkByDifferences() {
  const { graph, words, leaves } = session;
  const i = chosenLeaf();
  const told = nudge(graph, leaves, i);
  const { name } = graph.nodes[i];
  const root = graph.nodes[graph.root].name;
  const digits = Object.fromEntries(["below", "above", "slope", "grad"].map(key => [key, precise(told[key])]));
  reply(filled(words.nudged, { ...digits, step: shown(told.step), name, root, verdict: words[told.verdict] }));
}

// Show the value of the chosen leaf, unless the reader is typing in its field.
function showLeaf() {
  const { graph, words, numbers, chosen } = session;
  for (const id of ["leaf", "value", "nudge"])
    fieldById(id).disabled = Boolean(graph.fixed) || !byId("leaf").options.length;
  byId("undo").disabled = chosen.edits.size === 0;
  byId("editing").hidden = !graph.fixed && !byId("leaf").options.length && !chosen.edits.size; // no leaf is drawn
  if (graph.fixed) say(filled(words.not_editable, { op: graph.fixed }));
  else if (document.activeElement !== byId("value")) {
    if (byId("value").getAttribute("aria-invalid") === "true") say("");
    byId("value").value = byId("leaf").value && exact(numbers.data[chosenLeaf()]); // a list without leaves has no number
    byId("value").setAttribute("aria-invalid", String(false));
  }
}

export function nudgeBy() {
  const size = Math.abs(session.leaves[chosenLeaf()]);
  return Number(
    (((Number(byId("change").value) / 100) * Math.max(Number.isFinite(size) ? size : 1, 1)) / 2).toPrecision(6),
  );
}

export function showWays() {
  const { graph, words } = session;
  const able = !graph.fixed && byId("leaf").value !== "" && graph.nodes.length <= MOST_NUDGED;
  const change = able ? nudgeBy() : 0;
  byId("change").disabled = !able;
  if (change === 0) return byId("ways").replaceChildren();
  const { leaves } = session;
  const i = chosenLeaf();
  const { ways, together, linear } = changesOf(graph, leaves, i, change);
  const name = called(graph.nodes[i].name);
  byId("change").setAttribute("aria-valuetext", `${name} ${signed(change)}`);
  const row = (cell, texts, attributes = {}) => html("tr", attributes, ...texts.map(text => html(cell, {}, text)));
  const added = ways.reduce((total, { own }) => total + own, 0);
  const root = called(graph.nodes[graph.root].name);
  byId("ways").replaceChildren(
    html("thead", {}, row("th", [`${name} ${signed(change)}`, filled(words.way_change, { root }), words.way_linear])),
    html(
      "tbody",
      {},
      ...ways
        .slice(0, MOST_WAYS)
        .map(({ node, own, linear: part }) =>
          row("td", [
            filledApart(words.way, { node: placedName(session.shape, node, words) }),
            signed(own),
            signed(part),
          ]),
        ),
      ...(ways.length > MOST_WAYS
        ? [row("td", [filled(words.others, { count: ways.length - MOST_WAYS }), "", ""])]
        : []),
      row("td", [words.way_sum, signed(added), signed(linear)], { class: "sum" }),
      row("td", [words.way_together, signed(together), ""]),
    ),
  );
}

// List the leaves, and select the one that was selected. One leaf, `also`, is listed even if it is not drawn.
function listLeaves(also = null) {
  const { graph, shape } = session;
  const { nodes } = graph;
  const able = i => isEditable(nodes[i]);
  let leaves = [...nodes.keys()].filter(able);
  if (leaves.length > MOST_LISTED) {
    const drawn = shape.boxes
      .filter(box => !box.folded)
      .map(box => box.nodes[0])
      .filter(able);
    leaves = [...new Set([...drawn.slice(0, MOST_LISTED), ...(also === null ? [] : [also])])].sort((a, b) => a - b);
  }
  const field = byId("leaf");
  const before = field.value;
  const listed = [...field.options].map(({ value }) => value);
  if (before !== "" && graph === leavesOf && listed.join() === leaves.join()) return;
  leavesOf = graph;
  field.replaceChildren(...leaves.map(i => html("option", { value: i }, cleaned(nodes[i].name))));
  if (leaves.includes(Number(before)) && before !== "") field.value = before;
}
let leavesOf = null; // the graph whose leaves are listed

session.watch(({ other, anew, changes }) => {
  if (["snapshot", "edits", "lang"].some(key => key in changes)) say(""); // the message was about other numbers
  // A step is told at the top of the panel. A reader who has scrolled further down reads something else.
  if (other || ("done" in changes && sidePanel.scrollTop <= broughtTo)) sidePanel.scrollTop = broughtTo = 0;
  if (other) byId("leaf").value = "";
  if (anew) listLeaves(byId("leaf").value === "" ? null : chosenLeaf());
  showLeaf();
  showWays();
});

byId("leaf").addEventListener("change", () => {
  forgetChange();
  showWays();
  showLeaf();
});
byId("change").addEventListener("input", showWays);
byId("change").addEventListener("change", () => bring(byId("ways")));
byId("value").addEventListener("input", () => {
  const x = parsed(byId("value").value);
  byId("value").setAttribute("aria-invalid", String(x === null));
  if (x === null) reply(session.words.not_a_number);
  else session.edit(chosenLeaf(), x);
});
byId("nudge").addEventListener("click", checkByDifferences);
byId("undo").addEventListener("click", () => session.choose({ edits: new Map() }));
