// The session: what the reader has chosen, and all that follows from it. Others read it, change it through its methods,
// and watch it to show what it has become.

import { evaluated, movesOf, plan } from "./engine.js";
import { makeShape, openedAtFirst } from "./fold.js";
import { recall } from "./kept.js";
import { page } from "./page.js";
import { makeView } from "./view.js";

class Session {
  constructor() {
    this.chosen = {
      lang: recall("lang", Object.keys(page.words)) ?? page.lang ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en"),
      snapshot: 0,
      edits: new Map(), // leaf to number
      actions: ["backward"],
      done: 0, // moves
      open: new Set(), // groups
      anchor: null, // the key of what stays where it is when others make room
      predict: false,
      asking: false, // for the number of the step after the moves that are done
      timer: null, // of playing
      fresh: true, // nothing was stepped through yet
      speed: 1,
    };
    Object.assign(this, { snapshots: [], graph: null, numbers: null, shape: null, moves: [], steps: [] });
    this.trail = []; // the root's value before each step of learning
    this.watchers = [];
  }

  get words() {
    return page.words[this.chosen.lang];
  }

  // The data of all nodes with the leaves' numbers as edited; of what is computed they are the old ones.
  get leaves() {
    const { snapshot, edits } = this.chosen;
    return this.snapshots[snapshot].data.map((x, i) => edits.get(i) ?? x);
  }

  // How many steps are done; a step that was taken in parts, which were then closed together, is not.
  get position() {
    const found = this.steps.findIndex(step => step.end > this.chosen.done);
    return found < 0 ? this.steps.length : found;
  }

  get lastStep() {
    const { position, steps, chosen: { done } } = this, step = steps[position - 1], next = steps[position];
    return next && next.start < done ? { ...next, moves: next.moves.slice(0, done - next.start) } : step;
  }

  viewAt(done = this.chosen.done) {
    return makeView(this.shape, this.numbers, this.moves, done);
  }

  // Call `show` whenever something has changed, with whether it is another graph, whether its picture must be made
  // anew, and the changes.
  watch(show) {
    this.watchers.push(show);
  }

  tell(news) {
    for (const show of this.watchers) show(news);
  }

  // Open one graph, or those of a training run, when the forward pass is done; or where the last graph was, if asked.
  open(recorded, stays = false) {
    const { chosen, graph, moves } = this;
    clearInterval(chosen.timer);
    const pass = recorded[0].graph.order.length, before = stays && graph ? [chosen.done, graph.order.length, moves.length] : null;
    const done = !before ? pass : before[0] === before[2] ? Infinity : before[0] > before[1] ? before[0] - before[1] + pass : before[0] === before[1] ? pass : before[0];
    this.snapshots = recorded;
    this.graph = null;
    this.choose({ snapshot: 0, edits: new Map(), actions: ["backward"], done, timer: null, fresh: !before });
  }

  choose(changes) {
    const { chosen } = this;
    Object.assign(chosen, { asking: false }, changes);
    if ("done" in changes && !("fresh" in changes)) chosen.fresh = false;
    if ("snapshot" in changes || changes.edits?.size === 0) this.trail = [];
    const recorded = this.snapshots[chosen.snapshot], other = this.graph !== recorded.graph;
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

  edit(i, x) {
    this.choose({ edits: new Map(this.chosen.edits).set(i, x) });
  }

  // Follow a step of learning: the root's value is kept beside the new numbers.
  learn(edits) {
    this.trail.push(this.numbers.data[this.graph.root]);
    this.choose({ edits });
  }
}

export const session = new Session();
