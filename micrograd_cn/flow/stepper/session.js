// The session has what the reader has chosen, and everything that follows from it. Other modules read it, change it
// through its methods, and watch it to show its changes.

import { evaluated, movesOf, plan } from "./engine.js";
import { makeShape, openedAtFirst } from "./fold.js";
import { recall } from "./kept.js";
import { page } from "./page.js";
import { makeView } from "./view.js";

class Session {
  constructor() {
    // What the rooms of the playground keep here; see playground/chosen.js and model/settings.js.
    /** @type {string} */
    this.room = undefined;
    /** @type {LessonState | null} */
    this.lesson = undefined;
    /** @type {(() => string) | null} */
    this.origin = null; // says in the present language what a room has opened in the stepper
    /** @type {import("../playground/chosen.js").Typed} */
    this.typed = undefined;
    /** @type {import("../playground/chosen.js").Board} */
    this.board = undefined;
    /** @type {import("../model/settings.js").Model} */
    this.model = undefined;
    /** @type {Language} */
    const browser = navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
    /** @type {Chosen} */
    this.chosen = {
      lang: recall("lang", Object.keys(page.words)) ?? page.lang ?? browser,
      snapshot: 0,
      edits: new Map(), // from leaves to their new numbers
      actions: ["backward"],
      done: 0, // how many moves are done
      open: new Set(), // the groups that are open
      anchor: null, // the key of the box or frame that keeps its place when a part opens or closes
      predict: false,
      hides: new Set(), // what the reader does not see, because it is asked: "local", "grad", and what a room has
      asking: false, // whether the reader is asked for the number of the next step
      timer: null, // the timer while the page plays
      fresh: true, // whether the reader has not yet moved through this graph
      speed: 1,
    };
    /** @type {Recorded[]} */
    this.snapshots = [];
    /** @type {Graph} */
    this.graph = null;
    /** @type {Numbers} */
    this.numbers = null;
    /** @type {Shape} */
    this.shape = null;
    /** @type {Move[]} */
    this.moves = [];
    /** @type {Step[]} */
    this.steps = [];
    /** @type {number[]} */
    this.trail = []; // the root's value before each step of learning
    /** @type {((news: News) => void)[]} */
    this.watchers = [];
  }

  get words() {
    return page.words[this.chosen.lang];
  }

  // The data of all nodes. Leaves have their edited numbers, but all other nodes have their old ones.
  get leaves() {
    const { snapshot, edits } = this.chosen;
    return this.snapshots[snapshot].data.map((x, i) => edits.get(i) ?? x);
  }

  // How many steps are done. If the steps of an open part are half done and the part is closed, its step is not done.
  get position() {
    const found = this.steps.findIndex(step => step.end > this.chosen.done);
    return found < 0 ? this.steps.length : found;
  }

  get lastStep() {
    const {
      position,
      steps,
      chosen: { done },
    } = this;
    const step = steps[position - 1];
    const next = steps[position];
    return next && next.start < done ? { ...next, moves: next.moves.slice(0, done - next.start) } : step;
  }

  // Whether the reader predicts the numbers and the root is still to come, so nothing may tell its value.
  get asksRoot() {
    return this.chosen.predict && this.chosen.done < this.graph.order.length;
  }

  viewAt(done = this.chosen.done) {
    return makeView(this.shape, this.numbers, this.moves, done);
  }

  /**
   * Call `show` whenever something has changed. It is told whether the graph is another one (`other`), whether the
   * picture must be made again (`anew`), and the changes.
   * @param {(news: News) => void} show
   */
  watch(show) {
    this.watchers.push(show);
  }

  /** @param {News} news */
  tell(news) {
    for (const show of this.watchers) show(news);
  }

  // Return a function that shows again what the stepper shows now.
  keep() {
    const { snapshots, trail } = this;
    const { lang, speed, timer, hides, ...chosen } = this.chosen;
    return () => {
      if (!snapshots.length) return;
      Object.assign(this, { snapshots, graph: null });
      this.choose({ ...chosen, timer: null });
      this.choose({ open: chosen.open, done: chosen.done, fresh: chosen.fresh, asking: chosen.asking });
      this.trail = trail;
    };
  }

  /**
   * Open a graph, or the graphs of a training run, at the end of the forward pass. If it `stays`, open the graph at the
   * same point of the run as the graph before. Leaves in `edits` have the numbers that it gives them.
   * @param {Recorded[]} recorded
   * @param {Map<number, number>} edits
   */
  open(recorded, stays = false, edits = new Map()) {
    const { chosen, graph, moves } = this;
    clearInterval(chosen.timer);
    const pass = recorded[0].graph.order.length;
    const kept = stays && graph !== null;
    const done = kept ? samePoint(chosen.done, { pass: graph.order.length, all: moves.length }, pass) : pass;
    this.snapshots = recorded;
    this.graph = null;
    this.choose({ snapshot: 0, edits, actions: ["backward"], done, timer: null, fresh: !kept || chosen.fresh });
  }

  /** @param {Partial<Chosen>} changes */
  choose(changes) {
    const { chosen } = this;
    Object.assign(chosen, { asking: false }, changes);
    if ("done" in changes && !("fresh" in changes)) chosen.fresh = false;
    if ("snapshot" in changes || changes.edits?.size === 0) this.trail = [];
    const recorded = this.snapshots[chosen.snapshot];
    const other = this.graph !== recorded.graph;
    this.graph = recorded.graph;
    if (other) chosen.open = openedAtFirst(this.graph);
    this.numbers = chosen.edits.size ? evaluated(this.graph, this.leaves) : recorded;
    if (other || "actions" in changes) this.moves = movesOf(this.graph, chosen.actions);
    chosen.done = Math.min(chosen.done, this.moves.length);
    const anew = other || ["open", "lang", "actions"].some(key => key in changes);
    if (anew) this.reshape();
    this.tell({ other, anew, changes });
  }

  reshape() {
    this.shape = makeShape(this.graph, this.chosen.open);
    this.steps = plan(this.shape, this.moves);
  }

  /**
   * @param {number} i
   * @param {number} x
   */
  edit(i, x) {
    this.choose({ edits: new Map(this.chosen.edits).set(i, x) });
  }

  /**
   * Take a step of learning, and remember the root's value before it.
   * @param {Map<number, number>} edits
   */
  learn(edits) {
    this.trail.push(this.numbers.data[this.graph.root]);
    this.choose({ edits });
  }
}

// Return how many moves are done of a run whose forward pass has `pass` moves, at the same point as after `done` moves
// of the run `before`: at the end, as far into the backward pass, or as far into the forward pass.
function samePoint(done, before, pass) {
  if (done === before.all) return Infinity;
  return done >= before.pass ? done - before.pass + pass : done;
}

export const session = new Session();
