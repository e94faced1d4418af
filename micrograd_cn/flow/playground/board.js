// The room in which a network is trained: settings, the loop, and what opens in the stepper.

const DEFAULTS = {
  data: "moons", count: 200, layers: "8-8", activation: "tanh", initialiser: "xavier_uniform",
  loss: "binary_cross_entropy_with_logits", optimizer: "Adam", rate: "0.03", batch: "16", seed: "0",
  noise: "1", speed: "10",
};
const NOISES = ["0", "1", "2", "4"]; // times the usual
const SPEEDS = ["1", "10", "60", "full"]; // steps a second
const HELD = 100; // points that are held out
const BATCHES = ["1", "4", "8", "16", "32", "0"]; // 0 for all
const BUDGET = 5; // milliseconds of training a frame
const LEAST_POINTS = 2;
const MOST_LAYERS = 6;

const settings = { ...DEFAULTS };
const own = []; // points that were drawn
let stepped = 0; // when the last step was
let trainer, survey, output, running = null, chosenPoint = 0, frame = 0, dead = [];
const wiring = new Wiring(part("wires"), () => trainer && drawBoard(false));
const charts = new Charts(part("charts"));

const sizesOf = text => text.split(/[^\d]+/).filter(Boolean).map(Number);
const isWritten = {
  layers: text => /^\s*\d+(\s*[-,;\s]\s*\d+)*\s*$/.test(text) && sizesOf(text).length > 0 && sizesOf(text).length <= MOST_LAYERS && sizesOf(text).every(n => n >= 1 && n <= page.neurons),
  rate: text => parsed(text) > 0 && parsed(text) < Infinity,
  seed: text => /^\d{1,9}$/.test(text),
};

// Begin anew with what is set.
function renew() {
  stop();
  const { data, count, layers, activation, initialiser, loss, optimizer, rate, batch, seed, noise } = settings;
  const points = data === "own" ? own : DATA[data](new Random(Number(seed)), Number(count), Number(noise));
  const held = ["own", "bits"].includes(data) ? [] : DATA[data](new Random(Number(seed) + 2), HELD, Number(noise));
  const given = { layers: sizesOf(layers), activation, initialiser, loss, optimizer, rate: parsed(rate), batch: Number(batch), seed: Number(seed) };
  trainer = new Trainer(given, points, held);
  chosenPoint = Math.min(chosenPoint, Math.max(0, points.length - 1));
  wiring.show(trainer, Array.from({ length: trainer.network.sizes[0] }, (_, i) => `x${i + 1}`));
  charts.show(trainer.network);
  output = new Field();
  survey = new Survey(trainer, data, wiring.fields, output);
  refresh();
}

// Show everything as it is now.
function refresh() {
  if (!trainer) return;
  if (trainer.points.length && !trainer.history.length) trainer.gradient([...trainer.points.keys()]);
  survey.row = 0;
  survey.rows(GRID);
  dead = deadNeurons(trainer);
  drawBoard(true);
}

function drawBoard(all) {
  const { lens } = wiring;
  drawPlane(part("plane"), lens ? wiring.fields[lens.l][lens.j] : output, trainer.points, chosenPoint, trainer.held);
  wiring.draw(part("show_grads").getAttribute("aria-pressed") === "true");
  tellLens();
  if (!all) return;
  trainer.take();
  drawLosses(part("losses"), trainer);
  charts.update(trainer.network, words);
  wiring.mark(dead, words);
  tellState();
}

function tellState() {
  const { history, steps, seen, points } = trainer, loss = history.at(-1);
  part("run").textContent = running ? words.pause : words.play;
  for (const id of ["run", "one_step", "one_sample", "open_loss", "open_sample"]) part(id).disabled = points.length < LEAST_POINTS;
  const { all, held } = trainer.curve.at(-1) ?? trainer.take(), percent = of => (of ? Math.round(100 * of.right) : "–");
  const told = { steps, epochs: points.length ? Math.floor(seen / points.length) : 0, loss: all ? shown(all.loss) : "–", batch: loss === undefined ? "–" : shown(loss) };
  const known = { ...told, accuracy: percent(all), held_loss: held ? shown(held.loss) : "–", held: percent(held) };
  part("state").textContent = filled(words.board_state, known) + (held ? filled(words.board_held, known) : "");
  part("painting").hidden = settings.data !== "own";
  part("losses").setAttribute("aria-label", filled(words.curve, { root: "loss" }));
  const label = filled(words.plane_label, { number: chosenPoint + 1, count: points.length });
  part("plane").setAttribute("aria-label", `${words.plane_hint} ${label}`);
  const count = dead.flat().filter(Boolean).length, first = history[0];
  const early = history.slice(0, 10).reduce((sum, x) => sum + x, 0) / Math.min(10, history.length || 1);
  const late = history.slice(-10).reduce((sum, x) => sum + x, 0) / Math.min(10, history.length || 1);
  const wrong = Object.keys(isWritten).find(name => part(`b_${name}`).getAttribute("aria-invalid") === "true");
  part("warning").textContent = wrong ? filled(words[`wrong_${wrong}`], { layers: MOST_LAYERS, neurons: page.neurons })
    : points.length < LEAST_POINTS ? words.draw_points
    : first !== undefined && !Number.isFinite(loss) ? words.diverged
    : history.length > 20 && late > 3 * early ? words.grows
    : count ? filled(words.dead_count, { count }) : "";
}

// A frame: as many steps as fit into its budget, a part of the survey, and now and then the rest.
function tick(now) {
  running = requestAnimationFrame(tick);
  const began = performance.now(), pace = 1000 / Number(settings.speed);
  if (settings.speed !== "full") {
    if (now - stepped < pace) return;
    stepped = Math.max(stepped + pace, now - pace);
    trainer.step();
    survey.row = 0;
    survey.rows(GRID);
  } else {
    do trainer.step(); while (performance.now() - began < BUDGET && trainer.rest-- > 0);
    trainer.rest = 3;
    survey.rows(GRID / 4);
  }
  frame++;
  if (frame % 12 === 0) dead = deadNeurons(trainer);
  drawBoard(frame % 6 === 0 || settings.speed !== "full");
}

function run() {
  if (trainer.points.length < LEAST_POINTS) return;
  trainer.rest = 3;
  running = requestAnimationFrame(tick);
  tellState();
}

function stop() {
  if (running) cancelAnimationFrame(running);
  running = null;
}

function takeOne(samples) {
  stop();
  trainer.step(samples);
  if (samples) [chosenPoint] = samples;
  refresh();
}

// Into the stepper: the loss of one sample, with one part opened, or of the batch.
function openSample(wanted) {
  stop();
  const made = computationOf(trainer, [chosenPoint]);
  enter(made, filled(words.origin_sample, { number: chosenPoint + 1, step: trainer.steps }));
  const path = wanted?.slice(2), group = made.graph.groups.findIndex(each => each.path === path);
  if (group < 0) return;
  choose({ open: new Set(around(made.graph, group)), anchor: null });
  const frame = shape.frames.find(each => each.group === group);
  picture.root.querySelector(`.scope[data-key="g${group}"]`)?.classList.add("marked");
  if (frame) viewport.bring([frame]);
}

// What the neuron that one looks at computes, and from which numbers.
function tellLens() {
  const { lens } = wiring, { network } = trainer;
  part("lens").classList.toggle("empty", !lens);
  part("open_neuron").disabled = !lens || trainer.points.length < LEAST_POINTS;
  if (!lens) return (part("lens_text").textContent = words.lens_hint);
  const { nin, first, last } = network.layers[lens.l], at = first + lens.j * (nin + 1), data = network.data;
  const name = i => (lens.l ? `h${i + 1}` : `x${i + 1}`);
  const terms = Array.from({ length: nin }, (_, i) => `${bracketed(shown(data[at + i]))}·${name(i)}`), sum = `${terms.join(" + ")} + ${bracketed(shown(data[at + nin]))}`;
  part("lens_text").textContent = `${neuronName(lens.l, lens.j)}: ${last ? sum : `${settings.activation}(${sum})`}`;
}

// Layers are counted as textbooks do: the inputs are none, the first hidden one is 1.
function layerName(l) {
  return l === trainer.network.layers.length - 1 ? words.output_layer : filled(words.hidden_layer, { number: l + 1 });
}

function neuronName(l, j) {
  return filledApart(words.part_of, { inner: filled(words.part_neuron, { number: j + 1 }), outer: layerName(l) });
}

function openBatch() {
  stop();
  const samples = trainer.peek(settings.batch === "0" ? trainer.points.length : Number(settings.batch));
  enter(computationOf(trainer, samples), filled(words.origin_batch, { count: samples.length, step: trainer.steps }));
}

function set(name, value) {
  settings[name] = value;
  remember();
  if (name !== "speed") renew();
}

const boardCommands = {
  run: () => {
    if (!running) return run();
    stop();
    refresh();
  },
  one_step: () => takeOne(),
  one_sample: () => takeOne(trainer.next(1)),
  reset: renew,
  open_loss: openBatch,
  open_sample: () => openSample(),
  open_neuron: () => openSample(`g:layers.${wiring.lens.l}.neurons.${wiring.lens.j}`),
  unpaint: () => repaint(() => own.pop()),
  clear: () => repaint(() => (own.length = 0)),
  show_grads: () => {
    const pressed = part("show_grads").getAttribute("aria-pressed") === "true";
    part("show_grads").setAttribute("aria-pressed", !pressed);
    drawBoard(true);
  },
  class0: () => choosePaint(0),
  class1: () => choosePaint(1),
};
for (const [id, command] of Object.entries(boardCommands)) part(id).addEventListener("click", command);

let paint = 0;
function choosePaint(label) {
  paint = label;
  for (const k of [0, 1]) part(`class${k}`).setAttribute("aria-pressed", k === label);
}

function repaint(change) {
  change();
  remember();
  if (!trainer.history.length || !own.length) renew();
  else {
    trainer.waiting = [];
    chosenPoint = Math.max(0, Math.min(chosenPoint, own.length - 1));
    refresh();
  }
}

// Drawing: a point where one presses, and more along the way while one drags.
let brush = null;
part("plane").addEventListener("pointerdown", event => {
  if (settings.data !== "own") return;
  brush = [event.clientX, event.clientY];
  part("plane").setPointerCapture?.(event.pointerId);
  repaint(() => own.push(point(placeIn(part("plane"), event), paint)));
});
part("plane").addEventListener("pointermove", event => {
  if (!brush || Math.hypot(event.clientX - brush[0], event.clientY - brush[1]) < 14) return;
  brush = [event.clientX, event.clientY];
  repaint(() => own.push(point(placeIn(part("plane"), event), paint)));
});
for (const name of ["pointerup", "pointercancel"]) part("plane").addEventListener(name, () => (brush = null));

part("plane").addEventListener("click", event => {
  const at = placeIn(part("plane"), event);
  if (settings.data === "own") return;
  const distances = trainer.points.map(({ at: [x, y] }) => Math.hypot(x - at[0], y - at[1]));
  chosenPoint = distances.indexOf(Math.min(...distances));
  openSample();
});

// Samples by keys: the arrows choose, Enter opens.
part("plane").addEventListener("keydown", event => {
  const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key], count = trainer.points.length;
  if ((!by && event.key !== "Enter") || count < LEAST_POINTS) return;
  event.preventDefault();
  event.stopPropagation();
  if (!by) return openSample();
  chosenPoint = (chosenPoint + by + count) % count;
  drawBoard(true);
});
