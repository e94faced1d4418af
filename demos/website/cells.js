// Make the cells of a page ones that run: buttons, an editor, outputs, and what the reader has changed.

import { fromDisk, Session } from "./session.js";
import { announce, button, element, facts, filled, words } from "./words.js";

const LONGEST_LINK = 8_000; // characters; longer addresses are cut by some programs that pass them on
const base = new URL(".", document.currentScript.src).href;
const files = { base, sizes: facts.sizes, wheels: facts.wheels, cdn: facts.cdn, notebook: facts.notebook };
const cells = new Map();

const session = new Session(files, listen);

class Cell {
  constructor(root) {
    this.root = root;
    this.id = root.dataset.cell;
    this.number = root.dataset.number;
    this.source = root.querySelector("pre.source");
    this.original = this.text = this.source.textContent;
    this.output = root.querySelector(".output");
    this.stored = [...this.output.childNodes];
    this.lacking = root.querySelector(".lacking");
    if (this.lacking) this.lacking.hidden = false;
    this.source.tabIndex = 0;
    this.source.setAttribute("role", "group");
    this.source.setAttribute("aria-label", filled(words.cell, { number: this.number }));
    this.source.addEventListener("click", event => {
      if (getSelection().isCollapsed) this.edit({ x: event.clientX, y: event.clientY });
    });
    this.source.addEventListener("keydown", event => this.pressed(event));
    this.tools = element("div", "tools");
    this.runs = button(words.run, () => run([this]), "run");
    this.runs.title = words.run_hint;
    this.edits = button(words.edit, () => this.edit(), "edit");
    this.above = button(words.above, () => run([...cells.values()].slice(0, [...cells.values()].indexOf(this))), "above");
    this.resets = button(words.reset, () => this.reset(), "reset");
    this.resets.hidden = true;
    this.state = element("span", "state");
    this.state.setAttribute("role", "status");
    for (const each of [this.runs, this.edits, this.above, this.resets]) {
      each.setAttribute("aria-label", `${each.textContent}: ${filled(words.cell, { number: this.number })}`);
    }
    this.tools.append(this.runs, this.edits, this.above, this.resets, this.state);
    this.source.parentElement.after(this.tools);
    this.output.setAttribute("aria-live", "polite");
  }

  get changed() {
    return this.text !== this.original;
  }

  pressed(event) {
    if (event.key !== "Enter" || event.target !== this.source) return;
    event.preventDefault();
    if (event.shiftKey) run([this], true);
    else if (event.ctrlKey || event.metaKey) run([this]);
    else this.edit();
  }

  async edit(at) {
    if (this.editor) return this.editor.focus();
    if (fromDisk()) return;
    const { edit } = await import(`${base}editor.js`);
    if (this.editor) return;
    this.editor = edit({
      text: this.text,
      parent: this.source.parentElement,
      style: `${base}editor.css`,
      labels: { name: filled(words.cell, { number: this.number }), help: words.editor_help },
      changed: text => this.set(text),
      run: next => run([this], next),
      leave: () => this.runs.focus(),
    });
    this.source.hidden = true;
    if (at) this.editor.dispatch({ selection: { anchor: this.editor.posAtCoords(at, false) } });
    this.editor.focus();
  }

  // Take a text, and keep it in the browser unless it came with a link.
  set(text, kept = true) {
    this.text = text;
    this.resets.hidden = !this.changed;
    this.root.classList.toggle("changed", this.changed);
    if (kept) remember(this);
    showPage();
  }

  replace(text, kept) {
    this.set(text, kept);
    if (this.editor) this.editor.dispatch({ changes: { from: 0, to: this.editor.state.doc.length, insert: text } });
    else this.source.textContent = text;
  }

  reset() {
    this.replace(this.original);
    this.output.replaceChildren(...this.stored);
    this.end("", "");
    (this.editor ? this.editor : this.source).focus();
  }

  begin() {
    this.output.replaceChildren();
    this.pictures = 0;
    this.end("runs", words.runs);
  }

  end(kind, text) {
    this.root.classList.remove("runs", "waits", "ran", "failed");
    if (kind) this.root.classList.add(kind);
    this.state.textContent = text;
  }

  // Add text to the last text below the cell, or begin a new one.
  print(text, kind) {
    const last = this.output.lastElementChild;
    if (last?.className === kind) last.append(text);
    else this.output.append(element("pre", kind, text));
  }

  note(text) {
    const last = this.output.lastElementChild;
    if (last?.className !== "note" || last.textContent !== text) this.output.append(element("p", "note", text));
  }

  // The picture that the notebook stores, in the place of one that cannot be drawn.
  storedPicture() {
    const picture = this.stored.filter(node => node.localName === "img")[this.pictures++];
    if (picture) this.output.append(picture.cloneNode());
  }

  show({ kind, data, width, text, result }) {
    if (kind === "text/html") this.output.append(frame(data, text));
    else if (kind === "text/latex") {
      const formula = new DOMParser().parseFromString(data, "text/html").body;
      this.output.append(...[...formula.children].filter(each => each.localName === "math"));
    } else if (kind.startsWith("image/")) {
      const picture = element("img", kind === "image/png" ? "plot" : "");
      const bytes = kind === "image/png" ? Uint8Array.from(atob(data), each => each.charCodeAt(0)) : data;
      picture.src = URL.createObjectURL(new Blob([bytes], { type: kind }));
      picture.alt = words.picture;
      if (width) picture.width = width;
      this.output.append(picture);
    } else this.print(`${data}\n`, result ? "result" : "stdout");
  }
}

// A page of its own inside the page: it can neither see the site nor keep anything.
function frame(text, title) {
  const given = new DOMParser().parseFromString(text, "text/html").body;
  const only = given.children.length === 1 ? given.firstElementChild : null;
  const made = element("iframe");
  made.title = (only?.localName === "iframe" && only.title) || title || words.picture;
  made.className = only?.localName === "iframe" ? "stepper" : "html";
  made.setAttribute("sandbox", "allow-scripts allow-forms allow-downloads");
  made.src = `${base}frame.html`;
  const inside = only?.localName === "iframe" ? only.srcdoc : text;
  made.addEventListener("load", () => made.contentWindow.postMessage(inside, "*"), { once: true });
  return made;
}

function sources() {
  return Object.fromEntries([...cells.values()].map(cell => [cell.id, cell.text]));
}

function run(chosen, next = false) {
  if (fromDisk() || !chosen.length) return;
  for (const cell of chosen) cell.end("waits", words.waits);
  if (!session.worker) announce(words.starts);
  session.run(chosen.map(cell => cell.id), sources());
  showPage();
  if (next) following(chosen.at(-1));
}

function following(cell) {
  const all = [...cells.values()], after = all[all.indexOf(cell) + 1];
  if (!after) return;
  after.root.closest("details")?.setAttribute("open", "");
  after.root.scrollIntoView({ block: "nearest" });
  (after.editor ?? after.source).focus();
}

const told = {
  loading: ({ share }) => {
    announce(filled(words.loading, { percent: Math.round(100 * share) }));
    bar.progress.hidden = false;
    bar.progress.value = share;
  },
  ready: () => {
    bar.progress.hidden = true;
    announce(words.ready);
  },
  fetching: ({ names }) => announce(filled(words.fetching, { names: names.join(", ") })),
  fetched: (message, cell) => cell && announce(filled(words.running, { number: cell.number })),
  unreachable: ({ names }, cell) => cell?.note(filled(words.unreachable, { names: names.join(", ") })),
  start: ({ index, count }, cell) => {
    cell?.begin();
    const number = cell?.number;
    announce(cell ? filled(words.running, { number }) : filled(words.before, { index: index + 1, count }));
  },
  stream: ({ name, text }, cell) => cell?.print(text, name),
  show: (message, cell) => cell?.show(message),
  stored: (message, cell) => {
    cell?.storedPicture();
    cell?.note(words.stored);
  },
  long: ({ most }, cell) => cell?.note(filled(words.long, { most })),
  unasked: ({ text }, cell) => cell?.note(filled(words.unasked, { text: text.trim() })),
  error: ({ text, missing, undefined: name }, cell) => {
    if (!cell) return announce(text);
    cell.print(text, "error");
    if (missing && facts.elsewhere.includes(missing)) cell.note(filled(words.elsewhere, { name: missing }));
    else if (name) cell.note(words.undefined);
  },
  lacking: (message, cell) => {
    cell?.output.replaceChildren(...cell.stored);
    cell?.end("", words.lacking);
  },
  skipped: (message, cell) => cell?.end("", words.skipped),
  done: ({ ok, time }, cell) => {
    if (!cell) return;
    cell.end(ok ? "ran" : "failed", filled(ok ? words.ran : words.failed, { time: duration(time) }));
    if (ok) solved(cell);
  },
  idle: () => {
    announce(words.idle);
    for (const cell of cells.values()) if (cell.root.matches(".waits, .runs")) cell.end("", "");
  },
  stopped: () => stopped(words.stopped, words.stopped_here),
  failed: ({ text }) => stopped(filled(words.broken, { text }), words.stopped_here),
};

function listen(message) {
  told[message.what]?.(message, cells.get(message.cell));
  if (["idle", "stopped", "failed", "start", "ready"].includes(message.what)) showPage();
}

function stopped(text, here) {
  bar.progress.hidden = true;
  announce(text);
  for (const cell of cells.values()) {
    if (cell.root.matches(".runs")) cell.note(text);
    if (cell.root.matches(".waits, .runs")) cell.end("failed", here);
  }
}

function duration(time) {
  return time < 1000 ? `${Math.round(time)} ms` : `${(time / 1000).toFixed(1)} s`;
}

// What the reader has changed and solved is kept in this browser: a key for each cell, so tabs do not disturb each other.
const key = cell => `micrograd_cn.cell ${facts.name} ${cell.id}`;
const solvedKey = number => `micrograd_cn.solved ${facts.name.split(".")[0]} ${number}`;

function remember(cell) {
  try {
    if (cell.changed) localStorage.setItem(key(cell), cell.text);
    else localStorage.removeItem(key(cell));
  } catch {
    announce(words.not_kept); // a private window, or no room
  }
}

function recall(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

function solved(cell) {
  const { check } = cell.root.dataset;
  if (!check || !cell.output.textContent.trimStart().startsWith("✓")) return;
  try {
    localStorage.setItem(solvedKey(check), "1");
  } catch {
    cell.solved = true;
  }
  showPage();
}

// The changes of this page in the part of its address that is not sent to any server.
async function packed(text) {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), each => each.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Response(stream).text();
}

async function copyLink() {
  const changes = Object.fromEntries([...cells.values()].filter(cell => cell.changed).map(cell => [cell.id, cell.text]));
  const link = new URL(location.href);
  link.hash = Object.keys(changes).length ? `my=${await packed(JSON.stringify(changes))}` : "";
  if (link.href.length > LONGEST_LINK) return announce(words.too_long);
  try {
    await navigator.clipboard.writeText(link.href);
    announce(words.copied);
  } catch {
    history.replaceState(null, "", link.href); // where a page may not write to the clipboard
    announce(words.in_address);
  }
}

async function takeLink() {
  if (!location.hash.startsWith("#my=")) return;
  try {
    const changes = JSON.parse(await unpacked(location.hash.slice(4)));
    for (const [id, text] of Object.entries(changes)) if (typeof text === "string") cells.get(id)?.replace(text, false);
    announce(words.from_link);
  } catch {
    announce(words.wrong_link);
  }
}

const bar = {};

function makeBar() {
  bar.root = element("section", "bar");
  bar.root.setAttribute("aria-label", words.bar);
  bar.said = element("span", "said", words.offer);
  bar.said.id = "said";
  bar.said.setAttribute("role", "status");
  bar.progress = element("progress");
  bar.progress.hidden = true;
  bar.progress.setAttribute("aria-label", words.progress);
  bar.stop = button(words.stop, () => session.stop(), "stop");
  bar.all = button(words.all, () => run([...cells.values()]), "all");
  bar.solved = element("span", "solved");
  bar.copy = button(words.copy, copyLink, "copy");
  bar.reset = button(words.reset_all, () => [...cells.values()].forEach(cell => cell.changed && cell.reset()), "reset");
  bar.root.append(bar.said, bar.progress, bar.stop, bar.all, bar.solved, bar.copy, bar.reset);
  document.body.append(bar.root);
}

function showPage() {
  const all = [...cells.values()], checks = all.map(cell => cell.root.dataset.check).filter(Boolean);
  const done = checks.filter(number => recall(solvedKey(number)) || all.some(cell => cell.solved && cell.root.dataset.check === number));
  bar.stop.disabled = !session.busy;
  bar.copy.hidden = bar.reset.hidden = !all.some(cell => cell.changed);
  bar.solved.textContent = checks.length ? filled(words.solved, { done: done.length, all: checks.length }) : "";
  for (const cell of all) if (cell.root.dataset.check) cell.root.classList.toggle("solved", done.includes(cell.root.dataset.check));
}

// The page of contents says how many exercises of each section are solved.
function showContents() {
  for (const [page, numbers] of Object.entries(facts.exercises ?? {})) {
    const done = numbers.filter(number => recall(solvedKey(number))).length;
    for (const link of document.querySelectorAll(`main a[href="${page}"]`)) {
      link.parentElement.querySelector(".solved")?.remove();
      if (done) link.after(element("span", "solved", filled(words.solved, { done, all: numbers.length })));
    }
  }
}

for (const root of document.querySelectorAll("[data-cell]")) {
  const cell = new Cell(root);
  cells.set(cell.id, cell);
}
if (cells.size) {
  makeBar();
  for (const cell of cells.values()) {
    const text = recall(key(cell));
    if (text !== null && text !== cell.original) cell.replace(text, false);
  }
  showPage();
  takeLink();
  addEventListener("storage", showPage);
}
showContents();
