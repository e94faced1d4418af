// Why gradients add: a leaf that is nudged changes the root through each of its uses, and these changes add up.

const MOST_WAYS = 8; // uses of a leaf that are listed

// What the root's value changes by if leaf `i` is changed by `change`: at each of its uses alone, and at all together;
// beside each the contribution × change, of which the gradient × change is the sum.
function changesOf(graph, leaves, i, change) {
  const numbers = evaluated(graph, leaves), moves = movesOf(graph, ["backward"]);
  const state = replayed(graph, numbers, moves, moves.length), y = numbers.data[graph.root], value = leaves[i] + change;
  const ways = [];
  graph.nodes.forEach((node, k) => node.parents?.forEach((parent, slot) => {
    if (parent !== i || !flowsTo(graph, node, slot)) return;
    const own = evaluated(graph, leaves, { node: k, slot, value }).data[graph.root] - y;
    ways.push({ node: k, own, linear: (state.sent[node.slots + slot] ?? 0) * change });
  }));
  return { ways, together: evaluated(graph, replacedAt(leaves, i, value)).data[graph.root] - y, linear: gradient(state, i) * change };
}

function nudgeBy() {
  const i = Number(part("leaf").value), size = Math.abs(leavesNow()[i]);
  return Number((Number(part("change").value) / 100 * Math.max(Number.isFinite(size) ? size : 1, 1) / 2).toPrecision(6));
}

function showWays() {
  const change = nudgeBy(), able = !graph.fixed && part("leaf").value !== "" && graph.nodes.length <= 2000;
  part("change").disabled = !able;
  if (!able || change === 0) return part("ways").replaceChildren();
  const i = Number(part("leaf").value), { ways, together, linear } = changesOf(graph, leavesNow(), i, change), name = called(graph.nodes[i].name);
  part("change").setAttribute("aria-valuetext", `${name} ${signed(change)}`);
  const row = (cell, texts, attributes = {}) => html("tr", attributes, ...texts.map(text => html(cell, {}, text)));
  const sum = ways.reduce((total, { own }) => total + own, 0), root = called(graph.nodes[graph.root].name);
  part("ways").replaceChildren(
    html("thead", {}, row("th", [`${name} ${signed(change)}`, filled(words.way_change, { root }), words.way_linear])),
    html("tbody", {},
      ...ways.slice(0, MOST_WAYS).map(({ node, own, linear }) => row("td", [filled(words.way, { node: called(graph.nodes[node].name) }), signed(own), signed(linear)])),
      ...(ways.length > MOST_WAYS ? [row("td", [filled(words.others, { count: ways.length - MOST_WAYS }), "", ""])] : []),
      row("td", [words.way_sum, signed(sum), signed(linear)], { class: "sum" }),
      row("td", [words.way_together, signed(together), ""])),
  );
}

const signed = x => (x > 0 ? `+${shown(x)}` : shown(x));

part("change").addEventListener("input", showWays);
watchers.push(showWays);
