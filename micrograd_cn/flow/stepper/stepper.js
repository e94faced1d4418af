// The beginning: the graphs that the page was made with.

import { byId } from "./elements.js";
import { makeGraph } from "./graph.js";
import { decoded, page } from "./page.js";
import { session } from "./session.js";
import "./screen.js";
import "./tape.js";
import "./learn.js";
import "./copy.js";
import "./controls.js";

if (page.snapshots.length) {
  const graphs = page.graphs.map(makeGraph);
  session.open(page.snapshots.map(({ graph: i, data, partials: slots, theirs }) => ({
    graph: graphs[i],
    data: data.map(decoded),
    partials: slots.map(of => of.map(decoded)),
    theirs: theirs?.map(decoded), // the gradients that a class of the reader's own computed
  })));
}

byId("copy_link").hidden = true; // the address of such a page says nothing
byId("unable").remove();
