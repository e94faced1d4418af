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
function stepNumber({ graph, numbers, state }, { kind, node, box, moves }) {
  if (graph.boxes[box].folded || kind === "zero") return null;
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
function leftOpen({ graph, numbers, state, previous }, { kind, node, moves: [move] }) {
  let factors = []; // pairs of a number and the derivative of the result with respect to it
  if (kind === "forward") factors = graph.nodes[node].parents.map((i, k) => [numbers.data[i], numbers.partials[node][k]]);
  else if (kind === "send") {
    const local = numbers.partials[node][move.slot], upstream = gradient(state, node);
    factors = [[gradient(previous, receiver(graph, move)), 1], [local, upstream], [upstream, local]];
  }
  const errors = factors.map(([x, derivative]) => Math.abs(derivative) * Math.abs(x - Number(shown(x))));
  return errors.filter(Number.isFinite).reduce((total, error) => total + error, 0);
}

// The sentences about the last step taken. Where its number is `asked` for, that is a "?", and no more is said.
function narration(view, words, asked = false) {
  const { graph, numbers, steps, position, state } = view;
  if (position === 0) return words.at_start;
  const step = steps[position - 1];
  if (step.kind === "zero") return words.at_zero;
  if (step.kind === "forward") return forwardSentence(view, words, step, asked);
  const told = step.kind === "seed" ? [seedSentence(view, words, step, asked)]
    : graph.boxes[step.box].folded ? [foldedSentence(view, words, step)]
    : sendSentences(view, words, step, asked);
  if (!asked && steps[position]?.kind !== "send") {
    told.push(words.is_done);
    if (state.passes > 1) told.push(filled(words.is_done_again, { count: state.passes }));
  }
  return told.join("\n");
}

function forwardSentence({ graph, numbers }, words, step, asked) {
  const node = graph.nodes[step.node], box = graph.boxes[step.box];
  if (box.folded) return filled(words.at_forward_folded, { box: box.name, count: step.moves.length });
  const names = node.parents.map(i => (graph.nodes[i].gets ? graph.nodes[i].name : shown(numbers.data[i])));
  const inNumbers = expression(node.text, node.parents.map(i => shown(numbers.data[i])));
  const formula = `${node.name} = ${expression(node.text, names)} = ${inNumbers}`;
  return filled(words.at_forward, { formula, value: asked ? "?" : shown(numbers.data[step.node]) });
}

function seedSentence({ graph, state }, words, step, asked) {
  const template = state.passes > 1 ? words.at_seed_again : words.at_seed;
  const { name } = graph.nodes[step.node];
  return filled(template, { name, value: asked ? "?" : shown(gradient(state, step.node)) });
}

function foldedSentence({ graph, steps, position }, words, step) {
  const inside = step.moves.filter(move => graph.nodes[receiver(graph, move)].box === step.box).length;
  const seed = steps.slice(0, position).findLastIndex(other => other.kind === "seed");
  const goesOn = steps.slice(seed, position - 1).some(other => other.kind === "send" && other.box === step.box);
  const template = goesOn ? words.at_send_on : words.at_send_folded;
  return filled(template, { box: graph.boxes[step.box].name, count: step.moves.length, inside });
}

function sendSentences({ graph, numbers, state, previous, expected }, words, { moves: [move] }, asked) {
  const i = receiver(graph, move), { name } = graph.nodes[i];
  const sentence = filled(words.narrate_edge, {
    name,
    before: shown(gradient(previous, i)),
    local: shown(numbers.partials[move.node][move.slot]),
    upstream: shown(gradient(state, move.node)),
    after: asked ? "?" : shown(gradient(state, i)),
  });
  if (asked) return [sentence];
  const count = state.terms[i].length, total = expected[i];
  const complete = isLeaf(graph.nodes[i]) ? words.leaf_complete : words.is_complete;
  return [sentence, filled(count < total ? words.is_waiting : complete, { name, count, total })];
}
