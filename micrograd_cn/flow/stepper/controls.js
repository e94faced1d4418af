// Buttons, keys, fields and the pointer, and what each of them does.

const acts = {
  toggle,
  // What a click, Enter and Space do with an element of the picture.
  button(element, act) {
    let from = null;
    element.addEventListener("pointerdown", event => (from = [event.clientX, event.clientY]));
    element.addEventListener("click", event => {
      const moved = from && Math.hypot(event.clientX - from[0], event.clientY - from[1]) > 5;
      if (!moved) act();
    });
    element.addEventListener("keydown", event => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      event.stopPropagation();
      act();
    });
  },
  // A leaf: a click goes to its field, dragging to the right or left changes its number.
  draggable(element, i) {
    element.addEventListener("pointerdown", event => {
      event.preventDefault(); // the picture stays
      chooseLeaf(i);
      dragNumber(event, () => numbers.data[i], x => edit(i, x), () => part("value").select());
    });
  },
};

// Follow the pointer until it is let go: a pixel is a hundredth of the number's size. Without a move it is a click.
function dragNumber(event, read, write, click = () => {}) {
  const start = Number.isFinite(read()) ? read() : 0, unit = 10 ** Math.floor(Math.log10(Math.max(Math.abs(start), 0.5))) / 50;
  let moved = false;
  const move = ({ clientX, pointerId }) => {
    if (pointerId !== event.pointerId) return;
    moved ||= Math.abs(clientX - event.clientX) > 3;
    if (moved) write(Number((Math.round(start / unit + clientX - event.clientX) * unit).toPrecision(12)));
  };
  const end = ({ pointerId }) => {
    if (pointerId !== event.pointerId) return;
    removeEventListener("pointermove", move);
    for (const name of ["pointerup", "pointercancel"]) removeEventListener(name, end);
    if (!moved) click();
  };
  addEventListener("pointermove", move);
  for (const name of ["pointerup", "pointercancel"]) addEventListener(name, end);
}

function chooseLeaf(i) {
  if (part("leaf").value !== String(i)) {
    say("");
    part("change").value = 0;
  }
  part("leaf").value = i;
  if (document.activeElement === part("value")) part("value").blur();
  showLeaf();
}

const commands = {
  start: () => choose({ done: 0, actions: ["backward"] }),
  layer_back: () => backWhile(sameLayer),
  node_back: () => backWhile(sameNode),
  back: () => backWhile(() => false),
  play: () => (chosen.timer ? pause() : play()),
  step: stepOn,
  node_step: () => onWhile(sameNode),
  layer_step: () => onWhile(sameLayer),
  end: () => go(moves.length),
  again: () => act("backward"),
  zero: () => act("zero"),
  predict: () => choose({ predict: !chosen.predict }),
  open_all: openAll,
  close_all: closeAll,
  zoom_in: () => viewport.zoomBy(1.25),
  zoom_out: () => viewport.zoomBy(0.8),
  zoom_fit: () => viewport.fit(),
  dark: () => {
    setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    keep("theme", document.documentElement.dataset.theme);
  },
  language: () => {
    say("");
    part("verdict").textContent = "";
    choose({ lang: chosen.lang === "zh" ? "en" : "zh", asking: chosen.asking, anchor: null });
    keep("lang", chosen.lang);
  },
  more: () => {
    const all = document.querySelector("footer").classList.toggle("all");
    part("more").setAttribute("aria-expanded", all);
  },
  help: () => {
    pause();
    part("helping").showModal();
  },
  undo: () => choose({ edits: new Map() }),
  reveal: answered,
  nudge: () => {
    const i = Number(part("leaf").value), told = nudged(graph, leavesNow(), i);
    const { name } = graph.nodes[i], root = graph.nodes[graph.root].name;
    const digits = Object.fromEntries(["below", "above", "slope", "grad"].map(key => [key, precise(told[key])]));
    say(filled(words.nudged, { ...digits, step: shown(told.step), name, root, verdict: words[told.verdict] }));
  },
};
for (const [id, command] of Object.entries(commands)) part(id).addEventListener("click", command);

part("ask").addEventListener("submit", event => {
  event.preventDefault();
  const step = steps[position()], given = parsed(part("answer").value);
  if (given !== null && isRight(given, makeView(shape, numbers, moves, step.end), step)) answered();
  else part("verdict").textContent = words.wrong;
});

part("leaf").addEventListener("change", () => {
  say("");
  part("change").value = 0;
  showWays();
  showLeaf();
});
part("value").addEventListener("input", () => {
  const x = parsed(part("value").value);
  part("value").setAttribute("aria-invalid", x === null);
  say(x === null ? words.not_a_number : "");
  if (x !== null) edit(Number(part("leaf").value), x);
});
part("tape").addEventListener("input", () => choose({ snapshot: Number(part("tape").value), edits: new Map() }));
part("scrub").addEventListener("input", () => go(steps[Number(part("scrub").value) - 1]?.end ?? 0));
part("speed").addEventListener("input", () => {
  chosen.speed = Number(part("speed").value);
  if (!chosen.timer) return;
  clearInterval(chosen.timer);
  chosen.timer = setInterval(playOn, PAUSE / chosen.speed);
});

const keys = {
  ArrowRight: "step",
  ArrowLeft: "back",
  PageDown: "layer_step",
  PageUp: "layer_back",
  Home: "start",
  End: "end",
  " ": "play",
  "+": "zoom_in",
  "=": "zoom_in",
  "-": "zoom_out",
  "0": "zoom_fit",
  d: "dark",
  D: "dark",
  l: "language",
  L: "language",
  "?": "help",
};
document.addEventListener("keydown", event => {
  const at = event.target, command = keys[event.key];
  const scrolls = event.key.startsWith("Arrow") && at.closest(".table, [role=tablist], #charts");
  const pressed = event.key === " " && at.matches("button, summary, [role=button]");
  const taken = at.matches("input, select, textarea") || scrolls || pressed || part("helping").open || part("stepping").hidden;
  const everywhere = ["language", "dark", "help"].includes(command) && !at.matches("input:not([type=range]), textarea");
  if (!command || (taken && !(everywhere && !part("helping").open)) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const whole = event.shiftKey && { step: "node_step", back: "node_back" }[command];
  commands[whole || command]();
});

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  for (const watch of themed) watch();
}
const themed = [];
const darkness = matchMedia("(prefers-color-scheme: dark)");
darkness.addEventListener("change", () => setTheme(darkness.matches ? "dark" : "light"));
setTheme(kept("theme", ["dark", "light"]) ?? (darkness.matches ? "dark" : "light"));

const paper = matchMedia("print");
paper.addEventListener("change", () => {
  viewport.print(paper.matches);
  for (const watch of themed) watch();
});
