// The beginning: the graphs that the page was made with.

import { byId } from "./elements.js";
import { makeGraph } from "./graph.js";
import { page } from "./page.js";
import { Recorded } from "./recorded.js";
import { session } from "./session.js";
import "./screen.js";
import "./tape.js";
import "./learn.js";
import "./copy.js";
import "./controls.js";

if (page.snapshots.length) {
  const graphs = page.graphs.map(makeGraph);
  session.open(page.snapshots.map(sent => new Recorded(graphs[sent.graph], sent)));
}

byId("copy_link").hidden = true; // the address of such a page says nothing
byId("unable").remove();
