// Python in a worker: start it, run cells in it, and stop it.

import { announce, words } from "./words.js";

const STOPPING_PATIENCE = 800; // milliseconds that Python has to stop by itself, before its worker is ended

export class Session {
  constructor(page, listen) {
    this.page = page; // where the notebook's cells and Python's files are
    this.listen = listen; // takes each message of the worker
    this.worker = null;
    this.busy = false;
    this.waiting = [];
    this.interrupt = globalThis.crossOriginIsolated ? new Int32Array(new SharedArrayBuffer(4)) : null;
  }

  // Run cells, after those that they need. `sources` has the text of each cell of this page.
  run(targets, sources) {
    this.waiting.push({ what: "run", targets, sources });
    this.next();
  }

  next() {
    if (this.busy || !this.waiting.length) return;
    this.busy = true;
    if (!this.worker) this.start();
    if (this.interrupt) this.interrupt[0] = 0;
    this.worker.postMessage(this.waiting.shift());
  }

  start() {
    const worker = new Worker(new URL("worker.js", this.page.base), { type: "module" });
    worker.addEventListener("message", ({ data }) => {
      if (worker !== this.worker) return; // it was stopped
      if (data.what === "idle") {
        this.busy = false;
        clearTimeout(this.timer);
      }
      if (data.what === "failed") this.end();
      this.listen(data);
      if (data.what === "idle") this.next();
    });
    worker.addEventListener("error", event => {
      event.preventDefault();
      this.end();
      this.listen({ what: "failed", text: event.message ?? "" });
    });
    this.worker = worker;
    worker.postMessage({ what: "start", ...this.page, interrupt: this.interrupt });
  }

  stop() {
    if (!this.busy) return;
    this.waiting = [];
    if (!this.interrupt) return this.cut();
    this.interrupt[0] = 2; // what SIGINT is; Python raises KeyboardInterrupt
    this.timer = setTimeout(() => this.cut(), STOPPING_PATIENCE);
  }

  // End the worker, which no code can prevent. All names are gone: the cells that a cell needs run again before it.
  cut() {
    this.end();
    this.listen({ what: "stopped" });
  }

  end() {
    clearTimeout(this.timer);
    this.worker?.terminate();
    this.worker = null;
    this.busy = false;
    this.waiting = [];
  }
}

export function fromDisk() {
  if (location.protocol !== "file:") return false;
  announce(words.from_disk);
  return true;
}
