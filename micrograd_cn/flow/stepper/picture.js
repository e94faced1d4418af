// The graph as SVG: the elements of a shape are made once and then follow the state.

const EDGE_WIDTHS = [1.3, 5]; // from a contribution of 0 to the largest one, in pixels
const BOX = { line: 18, column: 6.8, padding: 10, narrow: 18, sum: 23 }; // pixels; columns of a line and of a sum
const TERM_COLUMN = 6.4; // of the sums of terms, which are mostly digits

function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// The size, the title and the role of a box.
function measure({ graph, frames }, box) {
  const [i] = box.nodes, node = graph.nodes[i];
  const operation = node.symbol && !box.folded ? `  ${node.symbol}` : "";
  box.bare = !box.folded && isLeaf(node) && !node.gets && /^v\d/.test(node.name); // a number that someone wrote
  const inside = box.frame >= 0 ? `${frames[box.frame].name}.` : "", name = box.name.startsWith(inside) ? box.name.slice(inside.length) : box.name;
  box.title = box.bare ? "" : cleaned(name) + operation;
  const met = !box.folded && node.gets && graph.expected[i] > 1; // contributions, whose sum is shown
  const summed = met || (!box.folded && isLeaf(node) && node.gets); // as a leaf's passes are
  box.lines = box.bare ? 1 : met ? 5 : box.folded || node.gets ? 4 : 2;
  if (graph.handwritten && node.gets && !box.folded) box.lines++;
  const narrow = box.bare || !(box.folded || node.gets) ? 12 : summed ? BOX.sum : BOX.narrow;
  box.width = Math.max(columns(box.title) + 4, narrow) * BOX.column + 2 * BOX.padding;
  if (box.bare) box.width = 84;
  box.height = box.lines * BOX.line + BOX.padding;
  const root = box.nodes.includes(graph.root) && !isLeaf(graph.nodes[graph.root]);
  const plain = isLeaf(node) && node.gets && !box.folded;
  const kinds = [box.folded && "filled", !box.folded && !node.gets && "dashed", plain && node.parameter && "thick"];
  box.roles = [...kinds, plain && !node.parameter && "rounded", root && "double"].filter(Boolean).join(" ");
}

class Picture {
  // `acts` has what happens when a leaf is dragged or clicked, and when a part is opened or closed.
  constructor(shape, words, acts) {
    this.shape = shape;
    this.acts = acts;
    for (const box of shape.boxes) measure(shape, box);
    for (const frame of shape.frames) frame.least = (columns(cleaned(titleOf(shape.graph, frame, words))) + 8) * BOX.column;
    const several = shape.edges.some(edge => edge.slots.length > 1); // drawn as one, of which a label says little
    this.labelled = shape.boxes.length <= FULL_LABELS && shape.edges.length <= (several ? READABLE_EDGES / 2 : READABLE_EDGES);
    layOut(shape, this.labelled);
    this.root = svg("g");
    this.frames = shape.frames.map(frame => this.makeFrame(frame, words));
    this.edges = shape.edges.map(edge => this.makeEdge(edge));
    this.boxes = shape.boxes.map(box => this.makeBox(box));
    this.motion = svg("g", { class: "motion" });
    const labels = this.edges.map(edge => edge.label); // above all lines
    const groups = [this.frames, this.edges, this.boxes].map(all => all.map(each => each.group));
    this.root.append(...groups[0], ...groups[1], ...labels, ...groups[2], this.motion);
  }

  makeFrame(frame, words) {
    const { x, y, width, height } = frame, title = svg("text", { x: x + 30, y: y + 18, class: "title" });
    const sign = svg("text", { x: x + 15, y: y + 18, class: "sign" }, "−");
    const hit = svg("rect", { class: "hit", x, y, width: Math.min(width, 260), height: GAP.title });
    const rim = svg("rect", { class: "rim", x, y, width, height, rx: 8 });
    const bar = svg("g", { class: "bar", tabindex: 0, role: "button", "aria-expanded": "true" }, hit, sign, title);
    title.textContent = cleaned(titleOf(this.shape.graph, frame, words));
    bar.setAttribute("aria-label", filled(words.close_part, { part: title.textContent }));
    this.acts.button(bar, () => this.acts.toggle(frame.group));
    const group = svg("g", { class: "scope", "data-name": frame.name, "data-key": frame.key }, rim, bar);
    return { group, key: frame.key, x, y };
  }

  makeEdge({ source, target, slots, points, place }) {
    const line = svg("path", { class: "line" }), head = svg("path", { class: "head" });
    const titles = [svg("title"), svg("title")];
    const texts = place ? [-7, 15].map(down => svg("text", { x: place[0], y: place[1] + down })) : [];
    const group = svg("g", {
      "data-src": this.shape.boxes[source].name,
      "data-dst": this.shape.boxes[target].name,
      "data-slot": slots.length === 1 ? slots[0][1] : "",
    }, titles[0], line, head);
    const label = svg("g", {}, titles[1], ...texts);
    return { group, label, titles, line, head, texts, points };
  }

  makeBox(box) {
    const { x, y, width, height, roles, key } = box, title = svg("title");
    const frame = inset => svg("rect", {
      class: inset ? "inner" : "frame", x: x + inset, y: y + inset, width: width - 2 * inset,
      height: height - 2 * inset, rx: roles.includes("rounded") ? 14 : 4,
    });
    const texts = Array.from({ length: box.lines }, (_, i) => svg("text", {
      class: i || box.bare ? "" : "title", x: x + width / 2, y: y + BOX.line * (i + 1) + 1,
    }));
    const padlock = `M${x + width - 16},${y + 11}v-2a3,3 0 0 1 6,0v2h1.5v6.5h-9v-6.5z`;
    const frames = roles.includes("double") ? [frame(0), frame(3)] : [frame(0)];
    const behind = box.folded ? [svg("rect", { class: "behind", x: x + 5, y: y + 5, width, height, rx: 4 })] : [];
    const group = svg("g", { "data-name": box.name, "data-key": key }, title, ...behind, ...frames, ...texts,
      svg("path", { class: "lock", d: padlock }));
    const [only] = box.nodes, { graph } = this.shape;
    const editable = !graph.fixed && !box.folded && isEditable(graph.nodes[only]);
    if (editable) this.acts.draggable(group, only);
    if (box.folded) {
      for (const [name, value] of [["tabindex", 0], ["role", "button"], ["aria-expanded", false]]) group.setAttribute(name, value);
      this.acts.button(group, () => this.acts.toggle(box.group));
    }
    const role = `node ${roles}${editable ? " editable" : ""}${box.bare ? " bare" : ""}`;
    return { group, title, texts, width, role, key, x, y };
  }

  // Show the view in the language of `words`; `active` has the boxes and edges that the step is about.
  update(view, words, active) {
    const largest = Math.max(0, ...view.edges.map(edge => Math.abs(edge.size)).filter(Number.isFinite));
    view.edges.forEach((facts, i) => updateEdge(this.edges[i], facts, words, largest, active.edges.has(i)));
    view.boxes.forEach((facts, i) => updateBox(this.boxes[i], view, i, facts, words, active.boxes.has(i)));
    fitChanged();
  }
}

function updateEdge({ group, label, titles, line, head, points, texts: [local, sent] }, facts, words, largest, active) {
  const { size, sign, partial, count, constant } = facts;
  const look = [constant && "constant", sign, active && "active"].filter(Boolean).join(" ");
  group.setAttribute("class", `edge ${look}`);
  label.setAttribute("class", `label ${look}`);
  group.setAttribute("data-contribution", size === null ? "" : exact(size));
  const share = largest && Number.isFinite(size) ? Math.abs(size) / largest : 1;
  drawArrow(line, head, points, EDGE_WIDTHS[0] + (EDGE_WIDTHS[1] - EDGE_WIDTHS[0]) * (size === null ? 0 : share));
  const told = [["local", partial], ["upstream", facts.upstream], ["contribution", size]].filter(([, x]) => x !== null);
  for (const title of titles) title.textContent = tip(`${facts.source} → ${facts.target}`, told, words);
  if (!local || constant) return;
  fit(local, count > 1 ? filled(words.edges_count, { count }) : partial === null ? "" : `×${shown(partial)}`, 84);
  fit(sent, size === null ? "" : count > 1 ? `|${shown(size)}|` : `→ ${size > 0 ? "+" : ""}${shown(size)}`, 84);
}

function updateBox({ group, title, texts, width, role }, { shape }, i, facts, words, active) {
  const box = shape.boxes[i];
  group.setAttribute("class", `${role} ${facts.state}${active ? " active" : ""}${facts.still || !facts.began ? " still" : ""}`);
  group.setAttribute("data-value", facts.value === null ? "" : exact(facts.value));
  group.setAttribute("data-grad", facts.grad === null ? "" : exact(facts.grad));
  group.setAttribute("data-state", facts.state);
  if (facts.theirs !== null) group.setAttribute("data-theirs", exact(facts.theirs));
  const told = [["data", facts.value], ["grad", facts.grad]].filter(([, x]) => x !== null);
  title.textContent = tip(facts.name, told, words);
  const lines = boxLines(box, shape.graph, facts, words, width);
  texts.forEach((text, i) => fit(text, lines[i] ?? "", width - (i || box.bare ? 10 : 36)));
  if (box.folded) group.setAttribute("aria-label", filled(words.open_part, { part: lines[0] }));
}

function boxLines(box, graph, facts, words, width) {
  const number = x => (x === null ? "–" : shown(x));
  if (box.bare) return [number(facts.value)];
  const title = box.folded ? `+ ${cleaned(titleOf(graph, box, words))}` : box.title;
  const lines = [title, box.folded ? `${box.nodes.length} ${words.nodes}` : `${words.data} ${number(facts.value)}`];
  if (facts.constant) return lines;
  lines.push(box.folded ? `|${words.grad}| ${number(facts.grad)}` : `${words.grad} ${number(facts.grad)}`);
  const several = facts.terms.length > 1;
  if (several) lines.push(sumText(facts.terms, (width - 16) / TERM_COLUMN));
  else if (facts.total > 1 && !box.folded) lines.push("");
  const seed = facts.began && box.nodes[0] === graph.root && !box.folded && !isLeaf(graph.nodes[graph.root]);
  if (facts.total > 1 || !several) lines.push(!facts.began || facts.still ? "" : seed ? words.seed : filled(words.arrived, facts));
  if (facts.theirs !== null) {
    while (lines.length < box.lines - 1) lines.push("");
    lines.push(`${words.theirs} ${number(facts.theirs)}${facts.state === "complete" ? agreement(facts) : ""}`);
  }
  return lines;
}

// Whether the gradient that the reader's own class computed is that of the chain rule, but for rounding.
function agreement({ grad, theirs, terms }) {
  const size = terms.reduce((sum, x) => sum + Math.abs(x), 0);
  if (Object.is(grad, theirs) || Math.abs(grad - theirs) <= 1e-6 * size) return " ✓";
  return Number.isNaN(grad) ? "" : ` ≠ ${shown(grad)}`; // nan where a local derivative is not known
}

// A part's name: what the learner knows it by.
function titleOf(graph, { group }, words) {
  const { path, part, parts, title, outer } = graph.groups[group];
  if (title) return title;
  return part ? filled(words.part, { part, parts }) : outer < 0 ? path : path.slice(graph.groups[outer].path.length + 1);
}

// What is shown where the pointer rests: the numbers in full.
function tip(name, told, words) {
  return [name, ...told.map(([word, x]) => `${words[word]} ${exact(x)}`)].join("\n");
}

// The terms as a sum, the first ones left out where there is no room for all.
function sumText(terms, room) {
  const texts = terms.map(x => bracketed(shown(x)));
  let shownTerms = texts.length;
  const text = () => `= ${shownTerms < texts.length ? "… + " : ""}${texts.slice(-shownTerms).join(" + ")}`;
  while (shownTerms > 1 && text().length > room) shownTerms--;
  return text();
}

const changed = []; // pairs of a text and the room that it has

// Set the text; it is kept within `room` pixels by fitChanged().
function fit(element, text, room) {
  if (!element || element.textContent === text) return;
  element.textContent = text;
  element.removeAttribute("textLength");
  if (text) changed.push([element, room]);
}

// Keep all texts that have changed within their room, whatever the fonts. To measure a text, the browser lays the page
// out if anything has changed: so all are measured before one is changed.
function fitChanged() {
  const wide = changed.splice(0).filter(([element, room]) => element.getComputedTextLength() > room);
  for (const [element, room] of wide) {
    element.setAttribute("textLength", room);
    element.setAttribute("lengthAdjust", "spacingAndGlyphs");
  }
}
