// The beginning: the graphs that the page was made with.

if (page.snapshots.length) {
  const graphs = page.graphs.map(makeGraph);
  open(page.snapshots.map(({ graph: i, data, partials: slots, theirs }) => ({
    graph: graphs[i],
    data: data.map(decoded),
    partials: slots.map(of => of.map(decoded)),
    theirs: theirs?.map(decoded), // the gradients that a class of the reader's own computed
  })));
}

part("copy_link").hidden = true; // the address of such a page says nothing
part("unable").remove();
