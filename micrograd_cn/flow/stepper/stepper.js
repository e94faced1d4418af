// Start the page of draw_flow(): open the graphs that it was made with.

import { byId } from "./elements.js";
import { embed } from "./embed.js";
import { makeGraph } from "./graph.js";
import { page } from "./page.js";
import { Reel } from "./reel.js";
import { session } from "./session.js";
import "./bars.js";
import "./failure.js";
import "./screen.js";
import "./tape.js";
import "./learn.js";
import "./copy.js";
import "./saving.js";
import "./controls.js";
import "./inside.js";

if (page.snapshots.length) {
  const reels = page.graphs.map((facts, i) => new Reel(makeGraph(facts), page.tapes[i]));
  session.open(page.snapshots.map(i => reels[i].next()));
}

if (location.hash === "#embed") embed(true);
byId("copy_link").hidden = true; // the address of this page keeps nothing
byId("unable").remove();
