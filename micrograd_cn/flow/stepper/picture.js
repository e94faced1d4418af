// The graph as SVG: the elements of a shape are made once and then follow the state.

const EDGE_WIDTHS = [1.5, 5.5]; // from a contribution of 0 to the largest one, in pixels
const BOX = { title: 21, line: 18, side: 9, top: 5, between: 10, least: 62 }; // pixels
const FONTS = { title: "600 14px", number: "13.5px", grad: "700 13.5px", word: "12px", note: "12px", local: "12px", sent: "700 12.5px" };
const USUAL = "-0.8888"; // a number that a box has room for, whatever it has now

const measuring = document.createElement("canvas").getContext("2d");
const family = getComputedStyle(document.documentElement).fontFamily, widths = new Map();
function textWidth(text, kind) {
  const key = `${kind} ${text}`;
  if (!widths.has(key)) {
    measuring.font = `${FONTS[kind]} ${family}`;
    widths.set(key, measuring.measureText(text).width);
  }
  return widths.get(key);
}

function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// The size, the rows and the role of a box; `numbers` has what it will show.
function measure(shape, box, words, numbers, passes) {
  const { graph, frames } = shape, [i] = box.nodes, node = graph.nodes[i], gets = box.folded || node.gets;
  box.bare = !box.folded && isLeaf(node) && !node.gets && !isNamed(node); // a number that someone wrote
  const inside = box.frame >= 0 ? `${frames[box.frame].name}.` : "", name = box.name.startsWith(inside) ? box.name.slice(inside.length) : box.name;
  const shownName = box.folded ? `+ ${cleaned(titleOf(graph, box, words))}` : cleaned(name);
  box.title = box.bare ? "" : node.symbol && !box.folded ? `${isolated(shownName)} = ${node.symbol}` : shownName;
  const root = box.nodes.includes(graph.root), met = !box.folded && node.gets && (graph.expected[i] > 1 || (isLeaf(node) && passes > 1));
  box.pairs = box.bare ? [] : box.folded ? ["count", "norm"] : node.gets ? ["data", "grad"] : ["data"];
  box.notes = gets ? Number(met || root || box.folded) + Number(Boolean(graph.handwritten) && !box.folded) : 0; // how its gradient stands, and that of another class
  const widths = box.pairs.map(key => textWidth(wordOf(key, words), "word") + BOX.between + Math.max(...[USUAL, ...numbers(box, key)].map(text => textWidth(text, "grad"))));
  const notes = met ? Math.max(...[`= ${USUAL} + ${USUAL}`, ...numbers(box, "sum")].map(text => textWidth(text, "note"))) : 0;
  const own = Math.max(BOX.least, ...widths, notes, textWidth(box.title, "title") + (gets ? 40 : 0));
  box.width = Math.ceil((box.bare ? textWidth(USUAL, "number") : own) + 2 * BOX.side);
  box.rows = [...(box.bare ? ["bare"] : ["title"]), ...box.pairs, ...Array(box.notes).fill("note")];
  box.height = (box.bare ? 4 : BOX.title) + BOX.line * (box.rows.length - !box.bare) + 2 * BOX.top - (box.notes ? 2 : 0);
  const plain = isLeaf(node) && node.gets && !box.folded;
  const kinds = [box.folded && "filled", !box.folded && !node.gets && "dashed", plain && node.parameter && "thick"];
  box.roles = [...kinds, plain && !node.parameter && "rounded", root && !isLeaf(graph.nodes[graph.root]) && "double"].filter(Boolean).join(" ");
}

const wordOf = (key, words) => ({ count: words.node_count, norm: words.grad_norm, data: words.data, grad: words.grad })[key];

class Picture {
  // `acts` has what happens when a leaf is dragged or clicked, and when a part is opened or closed.
  constructor(shape, words, acts, view, vertical) {
    Object.assign(this, { shape, acts, vertical });
    const facts = new Map(shape.boxes.map((box, i) => [box, view.boxes[i]]));
    const numbers = (box, key) => (key === "sum" ? (facts.get(box).terms.length <= 3 ? [sumText(facts.get(box).terms, Infinity)] : []) : key === "count" || facts.get(box)[key === "data" ? "value" : "grad"] === null ? [] : [shown(facts.get(box)[key === "data" ? "value" : "grad"])]);
    for (const box of shape.boxes) measure(shape, box, words, numbers, view.state.passes);
    for (const frame of shape.frames) frame.least = textWidth(cleaned(titleOf(shape.graph, frame, words)), "title") + 50;
    const several = shape.edges.some(edge => edge.slots.length > 1); // drawn as one, of which a label says little
    this.labelled = shape.boxes.length <= FULL_LABELS && shape.edges.length <= (several ? READABLE_EDGES / 2 : READABLE_EDGES);
    shape.edges.forEach((edge, i) => (edge.label = Math.max(...edgeTexts(view.edges[i], words).map((text, k) => textWidth(text, k ? "sent" : "local")), 36) + 8));
    layOut(shape, this.labelled, vertical);
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

  makeEdge({ source, target, slots, points, place, label: width, constant }) {
    const line = svg("path", { class: "line" }), head = svg("path", { class: "head" });
    const titles = [svg("title"), svg("title")];
    const texts = place ? ["local", "sent"].map((kind, i) => svg("text", { class: kind, x: place[0], y: place[1] + (i ? 14 : -5) })) : [];
    const group = svg("g", {
      "data-src": this.shape.boxes[source].name,
      "data-dst": this.shape.boxes[target].name,
      "data-slot": slots.length === 1 ? slots[0][1] : "",
    }, titles[0], line, head);
    const label = svg("g", {}, titles[1], ...texts);
    return { group, label, titles, line, head, texts, points, constant, room: width, vertical: this.vertical };
  }

  makeBox(box) {
    const { x, y, width, height, roles, key } = box, title = svg("title");
    const frame = svg("rect", { class: "frame", x, y, width, height, rx: box.folded ? 3 : 9 });
    const behind = box.folded ? [svg("rect", { class: "behind", x: x + 5, y: y + 5, width, height, rx: 3 })] : [];
    let base = y + BOX.top - 3;
    const rows = box.rows.map(kind => {
      base += kind === "title" ? BOX.title : BOX.line;
      const at = (name, x) => svg("text", { class: name, x, y: base - 2 });
      const end = x + width - BOX.side, middle = x + width / 2;
      if (kind === "title") return [at("title", middle)];
      if (kind === "bare") return [at("number middle", middle)];
      return kind === "note" ? [at("note", end)] : [at("word", x + BOX.side), at(kind === "data" || kind === "count" ? "number" : "number grad", end)];
    });
    const padlock = `M${x + width - 17},${y + 11}v-2a3,3 0 0 1 6,0v2h1.5v6.5h-9v-6.5z`;
    const group = svg("g", { "data-name": box.name, "data-key": key }, title, ...behind, frame, ...rows.flat(),
      svg("path", { class: "lock", d: padlock }));
    const [only] = box.nodes, { graph } = this.shape;
    const editable = !graph.fixed && !box.folded && isEditable(graph.nodes[only]);
    if (editable) this.acts.draggable(group, only);
    if (box.folded) {
      for (const [name, value] of [["tabindex", 0], ["role", "button"], ["aria-expanded", false]]) group.setAttribute(name, value);
      this.acts.button(group, () => this.acts.toggle(box.group));
    }
    const role = `node ${roles}${editable ? " editable" : ""}${box.bare ? " bare" : ""}`;
    return { group, title, rows, width, role, key, x, y };
  }

  // Show the view in the language of `words`; `active` has the boxes and edges that the step is about.
  update(view, words, active) {
    const largest = Math.max(0, ...view.edges.map(edge => Math.abs(edge.size)).filter(Number.isFinite));
    view.edges.forEach((facts, i) => updateEdge(this.edges[i], facts, words, largest, active.edges.has(i)));
    view.boxes.forEach((facts, i) => updateBox(this.boxes[i], view, i, facts, words, active.boxes.has(i)));
    fitChanged();
  }
}

function updateEdge({ group, label, titles, line, head, points, texts: [local, sent], room, vertical }, facts, words, largest, active) {
  const { size, sign, constant } = facts;
  const look = [constant && "constant", sign, active && "active"].filter(Boolean).join(" ");
  group.setAttribute("class", `edge ${look}`);
  label.setAttribute("class", `label ${look}`);
  group.setAttribute("data-contribution", size === null ? "" : exact(size));
  const share = largest && Number.isFinite(size) ? Math.abs(size) / largest : 1;
  const width = EDGE_WIDTHS[0] + (EDGE_WIDTHS[1] - EDGE_WIDTHS[0]) * (size === null ? 0 : share);
  drawArrow(line, head, points, width, size !== null, vertical);
  const told = [["local", facts.partial], ["upstream", facts.upstream], ["contribution", size]].filter(([, x]) => x !== null);
  for (const title of titles) title.textContent = tip(`${facts.source} → ${facts.target}`, told, words);
  if (!local || constant) return;
  const [factor, product] = edgeTexts(facts, words);
  fit(local, factor, room);
  fit(sent, product, room);
}

// What stands at an edge: its local derivative, and below it the contribution; of several, their number and their norm.
function edgeTexts({ size, partial, count, constant, stops }, words) {
  if (constant) return ["", ""];
  if (count > 1) return [filled(words.edges_count, { count }), size === null ? "" : filled(words.norm, { norm: shown(size) })];
  return [partial === null ? "" : `× ${shown(partial)}`, size === null ? "" : stops ? words.stops : `${size > 0 ? "+" : ""}${shown(size)}`];
}

function updateBox({ group, title, rows, width, role }, { shape }, i, facts, words, active) {
  const box = shape.boxes[i], sign = facts.grad > 0 ? "plus" : facts.grad < 0 ? "minus" : "";
  const look = [role, facts.state, sign, active && "active", (facts.still || !facts.began) && "still"].filter(Boolean).join(" ");
  group.setAttribute("class", look);
  group.setAttribute("data-value", facts.value === null ? "" : exact(facts.value));
  group.setAttribute("data-grad", facts.grad === null ? "" : exact(facts.grad));
  group.setAttribute("data-state", facts.state);
  if (facts.theirs !== null) group.setAttribute("data-theirs", exact(facts.theirs));
  const told = [["data", facts.value], ["grad", facts.grad]].filter(([, x]) => x !== null);
  title.textContent = tip(facts.name, told, words);
  const lines = boxLines(box, shape.graph, facts, words, width);
  rows.forEach((texts, k) => texts.forEach((text, part) => fit(text, lines[k]?.[part] ?? "", width - 2 * BOX.side + 4 - (texts.length > 1 ? textWidth(lines[k][1 - part], "word") + 4 : 0))));
  if (box.folded) group.setAttribute("aria-label", filled(words.open_part, { part: lines[0][0] }));
}

// The texts of each row: a title or a note, or a word and its number.
function boxLines(box, graph, facts, words, width) {
  const number = x => (x === null ? "–" : shown(x));
  if (box.bare) return [[number(facts.value)]];
  const numbers = { count: String(box.nodes.length), norm: number(facts.grad), data: number(facts.value), grad: number(facts.grad) };
  const lines = [[box.title], ...box.pairs.map(key => [wordOf(key, words), numbers[key]])];
  if (!box.notes) return lines;
  const seed = facts.began && box.nodes[0] === graph.root && !box.folded && !isLeaf(graph.nodes[graph.root]);
  const waits = facts.count < facts.total, sum = facts.terms.length > 1;
  if (box.notes > Number(facts.theirs !== null)) lines.push([!facts.began || facts.still ? (sum ? sumText(facts.terms, width) : "") : seed ? words.seed
    : sum ? sumText(facts.terms, width) : waits || box.folded ? `${facts.count}/${facts.total}` : ""]);
  if (facts.theirs !== null) lines.push([`${words.theirs} ${number(facts.theirs)}${facts.state === "complete" ? agreement(facts) : ""}`]);
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
function sumText(terms, width) {
  const texts = terms.map(x => bracketed(shown(x)));
  let shownTerms = texts.length;
  const text = () => `= ${shownTerms < texts.length ? "… + " : ""}${texts.slice(-shownTerms).join(" + ")}`;
  while (shownTerms > 1 && textWidth(text(), "note") > width - 2 * BOX.side) shownTerms--;
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
