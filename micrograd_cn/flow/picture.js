// The graph as SVG: its elements are made once and then follow the state.

const EDGE_WIDTHS = [1.3, 5]; // from a contribution of 0 to the largest one, in pixels
const LINE_HEIGHT = 18;
const COLUMN_WIDTH = 6.4; // of the sums of terms, which are mostly digits

function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

class Picture {
  // `edit(node)` is called when a leaf is clicked.
  constructor(graph, edit) {
    this.graph = graph;
    const [width, height] = graph.size, rim = 8;
    this.root = svg("svg", { viewBox: `${-rim} ${-rim} ${width + 2 * rim} ${height + 2 * rim}`, role: "img" });
    this.root.style.width = `clamp(${Math.round(0.9 * width)}px, 100%, ${Math.round(1.3 * width)}px)`;
    this.edges = graph.edges.map(edge => this.makeEdge(edge));
    this.boxes = graph.boxes.map(box => this.makeBox(box, edit));
    const labels = this.edges.map(edge => edge.label); // above all lines
    this.root.append(...this.edges.map(edge => edge.group), ...labels, ...this.boxes.map(box => box.group));
  }

  makeEdge({ source, target, slots, curve, place }) {
    const line = svg("path", { class: "line" }), head = svg("path", { class: "head" });
    const titles = [svg("title"), svg("title")];
    const texts = place ? [-7, 7].map(down => svg("text", { x: place[0], y: place[1] + down })) : [];
    const group = svg("g", {
      "data-src": this.graph.boxes[source].name,
      "data-dst": this.graph.boxes[target].name,
      "data-slot": slots.length === 1 ? slots[0][1] : "",
    }, titles[0], line, head);
    const label = svg("g", {}, titles[1], ...texts);
    return { group, label, titles, line, head, texts, curve };
  }

  makeBox(box, edit) {
    const { centre: [x, y], width, height, roles } = box;
    const left = x - width / 2, top = y - height / 2;
    const title = svg("title");
    const frame = inset => svg("rect", {
      class: inset ? "inner" : "frame", x: left + inset, y: top + inset, width: width - 2 * inset,
      height: height - 2 * inset, rx: roles.includes("rounded") ? 12 : 2,
    });
    const texts = Array.from({ length: 5 }, (_, i) => svg("text", {
      class: i ? "" : "title", x, y: top + LINE_HEIGHT * (i + 1) + 1,
    }));
    const padlock = `M${left + width - 16},${top + 11}v-2a3,3 0 0 1 6,0v2h1.5v6.5h-9v-6.5z`;
    const frames = roles.includes("double") ? [frame(0), frame(3)] : [frame(0)];
    const [only] = box.nodes;
    const editable = !this.graph.fixed && !box.folded && isEditable(this.graph.nodes[only]);
    const lock = svg("path", { class: "lock", d: padlock });
    const group = svg("g", { "data-name": box.name }, title, ...frames, ...texts, lock);
    if (editable) group.addEventListener("click", () => edit(only));
    const role = `node ${roles}${editable ? " editable" : ""}`;
    return { group, title, texts, width, role, folded: box.folded && box.nodes.length };
  }

  // Show the view in the language of `words`; `active` has the boxes and edges that the step is about.
  update(view, words, active) {
    this.root.setAttribute("aria-label", filled(words.graph, { root: this.graph.nodes[this.graph.root].name }));
    const largest = Math.max(0, ...view.edges.map(edge => Math.abs(edge.size)).filter(Number.isFinite));
    view.edges.forEach((facts, i) => updateEdge(this.edges[i], facts, words, largest, active.edges.has(i)));
    view.boxes.forEach((facts, i) => updateBox(this.boxes[i], this.graph.boxes[i], facts, words, active.boxes.has(i)));
  }
}

function updateEdge({ group, label, titles, line, head, curve, texts: [local, sent] }, facts, words, largest, active) {
  const { size, sign, partial, count, constant } = facts;
  const look = [constant && "constant", sign, active && "active"].filter(Boolean).join(" ");
  group.setAttribute("class", `edge ${look}`);
  label.setAttribute("class", `label ${look}`);
  group.setAttribute("data-contribution", size === null ? "" : exact(size));
  const share = largest && Number.isFinite(size) ? Math.abs(size) / largest : 1;
  drawArrow(line, head, curve, EDGE_WIDTHS[0] + (EDGE_WIDTHS[1] - EDGE_WIDTHS[0]) * (size === null ? 0 : share));
  const told = [["local", partial], ["upstream", facts.upstream], ["contribution", size]].filter(([, x]) => x !== null);
  for (const title of titles) title.textContent = tip(`${facts.source} → ${facts.target}`, told, words);
  if (!local || constant) return;
  fit(local, count > 1 ? `${count}×` : partial === null ? "" : `×${shown(partial)}`, 84);
  fit(sent, size === null ? "" : count > 1 ? `|${shown(size)}|` : `→ ${size > 0 ? "+" : ""}${shown(size)}`, 84);
}

function updateBox({ group, title, texts, width, role, folded }, box, facts, words, active) {
  group.setAttribute("class", `${role} ${facts.state}${active ? " active" : ""}${facts.constant ? " still" : ""}`);
  group.setAttribute("data-value", facts.value === null ? "" : exact(facts.value));
  group.setAttribute("data-grad", facts.grad === null ? "" : exact(facts.grad));
  group.setAttribute("data-state", facts.state);
  const told = [["data", facts.value], ["grad", facts.grad]].filter(([, x]) => x !== null);
  title.textContent = tip(facts.name, told, words);
  const number = x => (x === null ? "–" : shown(x));
  const lines = [box.title];
  lines.push(folded ? `${folded} ${words.nodes}` : `${words.data} ${number(facts.value)}`);
  if (!facts.constant) {
    lines.push(folded ? `|${words.grad}| ${number(facts.grad)}` : `${words.grad} ${number(facts.grad)}`);
    const several = facts.terms.length > 1;
    if (several) lines.push(sumText(facts.terms, (width - 16) / COLUMN_WIDTH));
    else if (facts.total > 1 && !folded) lines.push("");
    if (facts.total > 1 || !several) lines.push(filled(words.arrived, facts));
  }
  texts.forEach((text, i) => fit(text, lines[i] ?? "", width - (i ? 10 : 36)));
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

// Set the text and, whatever the fonts, keep it within `room` pixels.
function fit(element, text, room) {
  if (element.textContent === text) return;
  element.textContent = text;
  element.removeAttribute("textLength");
  if (text && element.getComputedTextLength() > room) {
    element.setAttribute("textLength", room);
    element.setAttribute("lengthAdjust", "spacingAndGlyphs");
  }
}

// A Bézier curve that ends inside its arrowhead.
function drawArrow(line, head, curve, width) {
  const [[x0, y0], [x, y]] = curve.slice(-2);
  const distance = Math.hypot(x - x0, y - y0) || 1, ux = (x - x0) / distance, uy = (y - y0) / distance;
  const length = 7 + 2 * width, half = 3 + width;
  const corner = side => `${x - length * ux - side * half * uy},${y - length * uy + side * half * ux}`;
  const end = [x - 0.7 * length * ux, y - 0.7 * length * uy];
  line.setAttribute("d", [...curve.slice(0, -1), end].map((point, i) => `${["M", "C"][i] ?? ""}${point}`).join(" "));
  line.setAttribute("stroke-width", width);
  head.setAttribute("d", `M${x},${y} L${corner(1)} L${corner(-1)} Z`);
}
