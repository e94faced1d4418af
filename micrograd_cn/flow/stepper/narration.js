// What a step does, in a sentence or two.

const receiver = (graph, { node, slot }) => graph.nodes[node].parents[slot];

// The operation with its operands' texts filled in; numbers below 0 in parentheses, except as arguments.
function expression(template, operands) {
  return template.replace(/\{(\d+)\}/g, (_, slot, at) => {
    const text = operands[slot], before = template.slice(0, at).trimEnd().at(-1);
    return before && "([,".includes(before) ? text : bracketed(text);
  });
}

// The one number that a step gives, for the learner to predict; null where it gives several or none.
function stepNumber({ shape, graph, numbers, state }, { kind, node, box, moves }) {
  if (shape.boxes[box].folded || kind === "zero") return null;
  if (kind === "forward") return numbers.data[node];
  return gradient(state, kind === "seed" ? node : receiver(graph, moves[0]));
}

// Whether a learner's number is right: to two digits, or as near as the question's numbers allow, which are shown with
// four. 1.00049 - 1 is shown as 1 - 1, so 0 is as right as 0.00049.
function isRight(given, view, step) {
  const expected = stepNumber(view, step);
  if (!Number.isFinite(given) || !Number.isFinite(expected)) return Object.is(given, expected);
  const secondDigit = expected === 0 ? 0 : 10 ** (Number(expected.toExponential().split("e")[1]) - 1);
  const tolerance = 0.5001 * secondDigit + 1.5 * leftOpen(view, step); // more than half for ties, more than 1st order
  return Math.abs(given - expected) <= tolerance;
}

// How far, to first order, the step's number is moved by all that the numbers in the question are rounded by.
function leftOpen({ graph, numbers, state }, { kind, node, moves: [move] }) {
  let factors = []; // pairs of a number and the derivative of the result with respect to it
  if (kind === "forward") factors = graph.nodes[node].parents.map((i, k) => [numbers.data[i], numbers.partials[node][k]]);
  else if (kind === "send") {
    const local = numbers.partials[node][move.slot], upstream = gradient(state, node);
    factors = [[before(state, receiver(graph, move)), 1], [local, upstream], [upstream, local]];
  }
  const errors = factors.map(([x, derivative]) => Math.abs(derivative) * Math.abs(x - Number(shown(x))));
  return errors.filter(Number.isFinite).reduce((total, error) => total + error, 0);
}

// A node's gradient before the last term arrived.
function before(state, i) {
  const earlier = state.terms[i].slice(0, -1).reduce((sum, x) => sum + x, 0);
  return state.before[i] === 0 ? earlier : earlier + state.before[i];
}

// The sentences about the last step taken. Where its number is `asked` for, that is a "?", and no more is said.
function narration(view, step, next, words, asked = false) {
  const { shape, state } = view;
  if (!step) return words.at_start;
  if (step.kind === "zero") return words.at_zero;
  if (step.kind === "forward") {
    const sentence = forwardSentence(view, words, step, asked);
    return chosen.fresh ? `${sentence}\n${words.forward_done}` : sentence;
  }
  const told = step.kind === "seed" ? [seedSentence(view, words, step, asked)]
    : shape.boxes[step.box].folded ? [foldedSentence(view, words, step)]
    : sendSentences(view, words, step, asked);
  if (!asked && next?.kind !== "send") {
    told.push(words.is_done);
    if (state.passes > 1) told.push(filled(words.is_done_again, { count: state.passes }));
  }
  return told.join("\n");
}

function forwardSentence(view, words, step, asked) {
  const { shape, graph, numbers } = view;
  if (shape.boxes[step.box].folded) return seenSentence(view, words, step.box);
  const node = graph.nodes[step.node];
  const names = node.parents.map(i => (graph.nodes[i].gets || isNamed(graph.nodes[i]) ? called(graph.nodes[i].name) : shown(numbers.data[i])));
  const inNumbers = expression(node.text, node.parents.map(i => shown(numbers.data[i])));
  const value = asked ? "?" : shown(numbers.data[step.node]);
  const sides = [called(node.name), expression(node.text, names), inNumbers];
  return filled(words.at_forward, { formula: sides.filter((side, i) => side !== value && side !== sides[i - 1]).join(" = "), value });
}

const isNamed = node => !/^v\d/.test(node.name);

// What a closed part has computed, from what.
function seenSentence({ shape, graph, numbers }, words, b) {
  const inputs = new Map(), box = shape.boxes[b], own = new Set(box.nodes);
  const used = new Set([graph.root]);
  for (const { source, target, slots } of shape.edges) {
    if (target === b) inputs.set(source, shape.boxes[source]);
    if (source === b) for (const [node, slot] of slots) used.add(graph.nodes[node].parents[slot]);
  }
  const outputs = [...used].filter(i => own.has(i)).map(i => numbers.data[i]);
  const value = i => `${called(graph.nodes[i].name)} = ${shown(numbers.data[i])}`;
  const texts = [...inputs.values()].map(each => (each.folded ? partName(graph, each.group, words) : value(each.nodes[0])));
  const [least, most] = [Math.min(...outputs), Math.max(...outputs)].map(shown);
  const told = { part: partName(graph, box.group, words), inputs: listed(texts, words), value: shown(outputs[0]), count: outputs.length, least, most };
  return filledApart(texts.length ? (outputs.length === 1 ? words.at_part : words.at_part_several) : words.at_part_alone, told);
}

function listed(texts, words, most = 6) {
  const some = texts.length > most ? [...texts.slice(0, most - 1), filled(words.others, { count: texts.length - most + 1 })] : texts;
  return some.join(words.comma);
}

// A part in words: "neuron 2 of layer 0".
function partName(graph, group, words) {
  const { name, part, parts, path, outer, title } = graph.groups[group];
  if (title) return title;
  if (part) return filled(words.part, { part, parts });
  const [, kind, number] = /^(layers|neurons)\.(\d+)$/.exec(name) ?? [];
  if (kind === "layers") return filled(words.part_layer, { number });
  if (!kind) return path;
  const alone = filled(words.part_neuron, { number });
  return outer < 0 ? alone : filledApart(words.part_of, { inner: alone, outer: partName(graph, outer, words) });
}

function seedSentence({ graph, state }, words, step, asked) {
  const template = state.passes > 1 ? words.at_seed_again : words.at_seed;
  const name = called(graph.nodes[step.node].name);
  return filled(template, { name, value: asked ? "?" : shown(gradient(state, step.node)) });
}

function foldedSentence({ shape, graph, state }, words, step) {
  const { group, nodes } = shape.boxes[step.box];
  const receivers = new Set(step.moves.map(move => shape.boxOf[receiver(graph, move)]));
  const names = [...receivers].map(b => {
    const box = shape.boxes[b];
    return b === step.box ? words.itself : box.folded ? partName(graph, box.group, words) : called(box.name);
  });
  let sent = 0, all = 0;
  for (const i of nodes) graph.nodes[i].parents?.forEach((_, slot) => {
    if (!flowsTo(graph, graph.nodes[i], slot)) return;
    all++;
    sent += state.sent[graph.nodes[i].slots + slot] !== undefined;
  });
  const told = { part: partName(graph, group, words), to: listed(names, words), count: step.moves.length, sent, all };
  return filledApart(words.at_send_part, told);
}

function sendSentences({ graph, numbers, state }, words, { moves: [move] }, asked) {
  const i = receiver(graph, move), name = called(graph.nodes[i].name);
  const sentence = filled(words.narrate_edge, {
    name,
    before: shown(before(state, i)),
    local: shown(numbers.partials[move.node][move.slot]),
    upstream: shown(gradient(state, move.node)),
    after: asked ? "?" : shown(gradient(state, i)),
  });
  if (asked) return [sentence];
  const count = state.terms[i].length, total = graph.expected[i], leaf = isLeaf(graph.nodes[i]);
  const template = count < total ? (leaf ? words.leaf_waiting : words.is_waiting) : leaf ? words.leaf_complete : words.is_complete;
  return [sentence, filled(template, { name, count, total })];
}
