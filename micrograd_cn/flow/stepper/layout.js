// Lay out boxes and edges in layers from left to right, with few crossings and straight long edges.
//
// An open part is laid out by itself. For the layout around it, it is one large box, and edges cross its rim at ports.
// So the layout around a part depends on nothing but its size, and the order stays the same when a part opens.
//
// An edge is divided into wires, one in each part that it passes through. Between layers, a wire passes through
// dummies.

import { reversed } from "./lists.js";
import { orderLayers, placeRows, straighten } from "./order.js";

// In the coordinates here, x runs along the forward pass and y across it. `vertical` swaps them in the end.

export const GAP = {
  row: 16,
  narrow: 7,
  column: 14,
  tight: 4,
  port: 16,
  label: 36,
  // In a vertical graph, which has to be low for the screen of a phone. A text of a label stands on either side of its edge.
  low: { label: 25, beside: 3, across: 1.7 },
  wire: 10,
  many: 70,
  rim: 14,
  title: 28,
};

// Pixels between a box and the level stretch of an edge at its label: at the operand, where the head is, and at the result.
const BENDS = [26, 18];
const MOST_LABELS = 9; // labels between two columns
const MOST_STRETCHED = 2; // how many times as far apart as necessary rows are, at most

/**
 * Give every box and frame {x, y, width, height}, and every edge its `points` and the `place` of its label. The width
 * of the label is `edge.label`. If the graph is `tight`, boxes and labels are closer together. If it has a `stage`, its rows
 * are so far apart that it is as high as the stage when it is as wide.
 * @param {Shape} shape
 * @param {boolean} labelled
 * @param {Arrangement} arrangement
 */
export function layOut(shape, labelled, { vertical, tight, stage }) {
  shape.vertical = vertical;
  if (vertical) shape.boxes.forEach(turn);
  /** @type {any[]} */
  const containers = [...shape.frames, { key: "top", outer: null }].map((frame, i, all) => {
    return { frame: i < all.length - 1 ? i : -1, items: [], wires: [], element: frame };
  });
  const container = frame => containers.at(frame); // -1 stands for the top, which is the last one
  shape.boxes.forEach((box, i) => container(box.frame).items.push({ box: i, width: box.width, height: box.height }));
  shape.frames.forEach((frame, i) => container(frame.outer).items.push({ inner: container(i), first: Infinity }));
  for (const { items } of containers) items.forEach((item, i) => Object.assign(item, { at: i }));
  for (const each of containers)
    each.items.sort((a, b) => numberOf(shape, a) - numberOf(shape, b) || firstNode(shape, a) - firstNode(shape, b));
  for (const each of containers) each.items.forEach((item, i) => (item.at = i));
  shape.edges.forEach((edge, i) => addWires(shape, container, edge, i, labelled && !edge.constant));
  const top = container(-1);
  const outermostFirst = [top, ...containers.slice(0, -1)];
  for (const each of outermostFirst) rankItems(each);
  for (const each of reversed(outermostFirst)) arrange(each, labelled, { vertical, tight, stage });
  placeAll(shape, top, 0, 0);
  shape.edges.forEach(edge => joinPoints(edge));
  shape.size = vertical ? [top.height, top.width] : [top.width, top.height];
  if (!vertical) return;
  [...shape.boxes, ...shape.frames].forEach(turn);
  for (const edge of shape.edges) {
    edge.points = edge.points.map(([x, y]) => [y, x]);
    edge.place &&= [edge.place[1], edge.place[0]];
  }
}

function turn(each) {
  [each.x, each.y, each.width, each.height] = [each.y, each.x, each.height, each.width];
}

function firstNode(shape, item) {
  if (item.first === undefined) item.first = shape.boxes[item.box].nodes[0];
  else if (item.first === Infinity) item.first = Math.min(...item.inner.items.map(each => firstNode(shape, each)));
  return item.first;
}

// Return the number of a numbered part such as neurons.3. Parts of one kind are placed in the order of their numbers.
function numberOf(shape, item) {
  const { group } = item.inner ? item.inner.element : shape.boxes[item.box];
  return Number(/\.(\d+)$/.exec(shape.graph.groups[group]?.name ?? "")?.[1] ?? 0);
}

// Divide an edge into wires: one in each part that it leaves, one in the part that both boxes are in, and one in each
// part that it enters.
function addWires(shape, container, edge, i, labelled) {
  const frames = box => {
    const found = [];
    for (let frame = shape.boxes[box].frame; frame >= 0; frame = shape.frames[frame].outer) found.push(frame);
    return [...found, -1];
  };
  const from = frames(edge.source);
  const to = frames(edge.target);
  const common = from.find(frame => to.includes(frame));
  const itemIn = (frame, box, chain) => {
    const inner = chain[chain.indexOf(frame) - 1];
    const found = inner === undefined ? item => item.box === box : item => item.inner === container(inner);
    return container(frame).items.find(found);
  };
  const wire = (frame, a, b, label) => {
    const made = { edge: i, from: a, to: b, label, size: edge.label, points: [] };
    container(frame).wires.push(made);
    return made;
  };
  const out = from.slice(0, from.indexOf(common));
  const into = to.slice(0, to.indexOf(common)).reverse();
  edge.middle = wire(common, itemIn(common, edge.source, from), itemIn(common, edge.target, to), labelled);
  edge.out = out.map(frame => wire(frame, itemIn(frame, edge.source, from), null, false));
  edge.into = into.map(frame => wire(frame, null, itemIn(frame, edge.target, to), false));
  edge.wires = [...edge.out, edge.middle, ...edge.into];
  edge.wires.forEach((each, i) =>
    Object.assign(each, { middle: edge.middle, before: edge.wires[i - 1], after: edge.wires[i + 1] }),
  );
}

// Give each item its rank. It comes after all items that it is computed from, and an item that is computed from nothing
// comes just before its user. Parts may form a circle, although nodes do not. Then one of the wires goes backward.
function rankItems({ items, wires }) {
  const after = items.map(() => new Set());
  const state = items.map(() => 0);
  const order = [];
  const inside = wires.filter(wire => wire.from && wire.to);
  for (const { from, to } of inside) after[from.at].add(to.at);
  const back = new Set();
  const visit = root => {
    const stack = [[root, after[root].values()]];
    state[root] = 1;
    while (stack.length) {
      const [at, rest] = stack.at(-1);
      const { value, done } = rest.next();
      if (done) {
        state[at] = 2;
        order.unshift(at);
        stack.pop();
      } else if (state[value] === 1) back.add(`${at},${value}`);
      else if (state[value] === 0) {
        state[value] = 1;
        stack.push([value, after[value].values()]);
      }
    }
  };
  items.forEach((_, at) => state[at] || visit(at));
  for (const wire of inside) wire.backward = back.has(`${wire.from.at},${wire.to.at}`);
  const followed = order.map(at => [at, [...after[at]].filter(to => !back.has(`${at},${to}`))]);
  for (const item of items) item.rank = 0;
  const entered = new Set();
  for (const [at, followers] of followed) {
    for (const to of followers) {
      items[to].rank = Math.max(items[to].rank, items[at].rank + 1);
      entered.add(to);
    }
  }
  for (const [at, followers] of reversed(followed)) {
    if (!entered.has(at) && followers.length) items[at].rank = Math.min(...followers.map(to => items[to].rank)) - 1;
  }
}

// Lay out a part: place its items and wires, and compute its size.
function arrange(part, labelled, { vertical, tight, stage }) {
  const gap = tight ? GAP.narrow : GAP.row;
  for (const item of part.items) {
    item.gap = item.inner ? GAP.row : gap;
    if (item.inner) Object.assign(item, { width: item.inner.width, height: item.inner.height });
  }
  const last = Math.max(0, ...part.items.map(item => item.rank));
  const layers = Array.from({ length: 2 * last + 3 }, () => []);
  for (const item of part.items) {
    item.layer = 2 * item.rank + 1;
    item.links = [];
    layers[item.layer].push(item);
  }
  leaveOut(part.wires, layers.length);
  const bundles = bundled(part, layers, labelled, vertical);
  orderLayers(layers);
  placeRows(layers);
  straighten(layers, bundles);
  placeColumns(part, layers, { vertical, tight, stage });
  attach(part, bundles);
}

// Leave out the labels between two columns if there are many. They would be taller than the boxes, and cover wires.
function leaveOut(wires, end) {
  const labelled = wires.filter(wire => wire.label);
  const at = wire => (wire.middle.backward ? wire.from : wire.to)?.layer ?? end;
  const counts = new Map();
  for (const wire of labelled) counts.set(at(wire), (counts.get(at(wire)) ?? 0) + 1);
  for (const wire of labelled)
    if (counts.get(at(wire)) > MOST_LABELS) Object.assign(wire, { label: false, bare: true });
}

// Bundle wires that have the same two ends, or that lead from one item to the same side of the rim. A bundle has one
// dummy in each layer. If there are too many edges for labels, all wires of a box leave it as one trunk, and separate
// near their results.
function bundled(part, layers, labelled, vertical) {
  const found = new Map();
  for (const wire of part.wires) {
    let { from: a, to: b } = wire;
    const turned = Boolean(wire.middle.backward);
    if (turned) [a, b] = [b, a];
    const trunk = !labelled && !turned && a && b && !a.inner;
    const key = trunk ? `${a.at}` : `${a?.at ?? ""},${b?.at ?? ""}`;
    if (!found.has(key)) found.set(key, { a, b, trunk, wires: [] });
    else if (trunk && b.layer > found.get(key).b.layer) found.get(key).b = b;
    const [left, right] = turned ? [wire.after, wire.before] : [wire.before, wire.after];
    const height = (end, port) => (end?.inner ? port[1] : 0);
    wire.goal = [height(b, right?.points[0]), height(a, left?.points.at(-1))];
    found.get(key).wires.push(Object.assign(wire, { turned, goesTo: b }));
  }
  const place = end => end?.at ?? -1;
  const bundles = [...found.values()].sort((v, w) => place(v.a) - place(w.a) || place(v.b) - place(w.b));
  for (const bundle of bundles) {
    bundle.wires.sort((v, w) => v.goal[0] - w.goal[0] || v.goal[1] - w.goal[1]);
    const first = bundle.a ? bundle.a.layer + 1 : 0;
    const end = bundle.b ? bundle.b.layer : layers.length;
    const labelAt = end - 1;
    const labels = bundle.wires.some(wire => wire.label);
    let before = bundle.a;
    bundle.dummies = [];
    for (let layer = first; layer < end; layer++) {
      const labelled = labels && layer === labelAt;
      const widest = Math.max(...bundle.wires.map(wire => wire.size ?? 0));
      const [along, across] = vertical ? [GAP.low.label, GAP.low.across * widest] : [widest, GAP.label];
      const each = labelled ? across : GAP.wire;
      const rows = bundle.trunk ? 1 : bundle.wires.length;
      const wide = bundle.wires.some(wire => wire.bare) ? GAP.many : 0;
      const dummy = {
        layer,
        each,
        gap: GAP.row,
        label: labelled,
        width: labelled ? along : wide,
        height: each * rows,
        links: [],
      };
      layers[layer].push(dummy);
      bundle.dummies.push(dummy);
      if (before) tie(before, dummy, bundle.dummies.length > 1 ? 8 : 1);
      before = dummy;
    }
    for (const b of new Set(bundle.wires.map(wire => wire.goesTo))) {
      const last = b && bundle.dummies[b.layer - 1 - first];
      if (last) tie(last, b, 2);
    }
  }
  return bundles;
}

function tie(a, b, weight) {
  a.links.push({ to: b, weight });
  b.links.push({ to: a, weight });
}

function placeColumns(part, layers, { vertical, tight, stage }) {
  const rim = part.frame < 0 ? 0 : GAP.rim;
  const title = part.frame < 0 ? 0 : GAP.title;
  const beside = vertical ? GAP.low.beside : tight ? GAP.tight : GAP.column;
  let x = 0;
  layers.forEach((layer, i) => {
    const ports = i === 0 || i === layers.length - 1;
    const wide = Math.max(0, ...layer.map(each => each.width));
    const width = ports ? rim + (vertical && i === 0 ? title : 0) : Math.max(wide, i % 2 ? 0 : 4);
    const level = vertical ? null : BENDS.map(size => Math.max(0, width / 2 + beside - size));
    for (const each of layer)
      Object.assign(each, { left: x, right: x + width, x: x + (width - each.width) / 2, level });
    const outer = i === 0 || i >= layers.length - 2;
    if (i < layers.length - 1 && !(outer && part.frame < 0)) x += outer ? GAP.port : beside;
    x += width;
  });
  const all = layers.flat();
  if (stage && part.frame < 0)
    stretch(all, stage.height / Math.max(stage.least, Math.min(stage.width / x, stage.most)));
  const top = Math.min(...all.map(each => each.y - each.height / 2)) - rim - (vertical ? 0 : title);
  const bottom = Math.max(...all.map(each => each.y + each.height / 2)) + rim;
  for (const each of all) each.y -= top;
  part.width = vertical ? x : Math.max(x, part.element.least ?? 0);
  part.height = vertical ? Math.max(bottom - top, part.element.least ?? 0) : bottom - top;
}

// Move rows apart until the graph has this height.
function stretch(all, height) {
  const top = each => each.y - each.height / 2;
  const bottom = each => each.y + each.height / 2;
  const first = all.reduce((a, b) => (top(b) < top(a) ? b : a));
  const last = all.reduce((a, b) => (bottom(b) > bottom(a) ? b : a));
  const by = (height - (first.height + last.height) / 2) / (last.y - first.y);
  for (const each of all) if (by > 1) each.y *= Math.min(by, MOST_STRETCHED);
}

// Let wires end at their items, in the order in which they arrive, so they do not cross at a box.
function attach(part, bundles) {
  const ends = new Map(part.items.map(item => [item, { left: [], right: [] }]));
  for (const { a, trunk, wires, dummies } of bundles) {
    wires.forEach((wire, i) => {
      wire.trunk = trunk && dummies[0];
      const b = wire.goesTo;
      const way = b ? dummies.filter(({ layer }) => layer < b.layer) : dummies;
      wire.points = way.flatMap(({ left, right, y, each, label, level }, k) => {
        const row = trunk ? y : y + (i - (wires.length - 1) / 2) * each;
        const middle = (left + right) / 2; // beside a box, a wire turns in one half of the column
        // An edge is level between the two texts of its label, so it crosses neither.
        return label
          ? level
            ? [
                [middle - level[0], row],
                [middle + level[1], row],
              ]
            : [[middle, row]]
          : [
              [a && k === 0 ? middle : left, row],
              [b && k === way.length - 1 ? middle : right, row],
            ];
      });
      if (wire.label) wire.place = [(dummies.at(-1).left + dummies.at(-1).right) / 2, wire.points.at(-1)[1]];
      if (a) ends.get(a).right.push(wire);
      if (b) ends.get(b).left.push(wire);
    });
  }
  for (const [item, { left, right }] of ends) {
    for (const [side, wires] of [
      ["left", left],
      ["right", right],
    ]) {
      const nearest = wire => (side === "left" ? wire.points.at(-1) : wire.points[0])[1];
      wires.sort((v, w) => nearest(v) - nearest(w));
      const ports = [...new Set(wires.map(wire => portOf(wire, side)))];
      const room = Math.min(16, (item.height - 16) / ports.length);
      wires.forEach(wire => {
        if (item.inner) return; // the wire inside the part ends at the port
        const y = item.y + (ports.indexOf(portOf(wire, side)) - (ports.length - 1) / 2) * room;
        if (side === "left") wire.points.push([item.x, y]);
        else wire.points.unshift([item.x + item.width, y]);
      });
    }
  }
  for (const { a, wires, dummies } of bundles) {
    // A wire without its label goes straight from column to column.
    for (const wire of wires) if (wire.bare && dummies.length === 1) wire.points.splice(a.inner ? 0 : 1, 2);
  }
}

// Return what a wire shares its port with: its trunk, or else only itself.
const portOf = (wire, side) => (side === "right" && wire.trunk) || wire;

function placeAll(shape, part, dx, dy) {
  for (const item of part.items) {
    const x = item.x + dx;
    const y = item.y - item.height / 2 + dy;
    if (item.inner) {
      Object.assign(item.inner.element, { x, y, width: item.width, height: item.height });
      placeAll(shape, item.inner, x, y);
    } else Object.assign(shape.boxes[item.box], { x, y });
  }
  for (const wire of part.wires) {
    wire.points = wire.points.map(([x, y]) => [x + dx, y + dy]);
    if (wire.place) wire.place = [wire.place[0] + dx, wire.place[1] + dy];
  }
}

// Join the points of an edge's wires, from its operand to its result. Each wire begins where the one before it ends.
function joinPoints(edge) {
  edge.points = edge.wires.flatMap(wire => (wire.turned ? reversed(wire.points) : wire.points));
  edge.place = edge.middle.place;
}
