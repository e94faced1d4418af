// Order the members of each layer, and place them across the layer. layout.js does the rest.

import { largestOf, reversed } from "./lists.js";

const SWEEPS = 10;

// Order the layers to reduce crossings (Sugiyama, Tagawa & Toda 1981). Sweeps go forward and backward in turn. They
// move each member to the mean place of its neighbours on the side that the sweep comes from. The best order found is
// kept.
export function orderLayers(layers) {
  const number = () => layers.forEach(layer => layer.forEach((each, i) => (each.index = i)));
  const neighbours = (each, direction) => each.links.filter(({ to }) => Math.sign(to.layer - each.layer) === direction);
  number();
  let best = layers.map(layer => [...layer]);
  let fewest = countCrossings(layers);
  for (let sweep = 0; sweep < SWEEPS && fewest; sweep++) {
    const direction = sweep % 2 ? 1 : -1;
    for (const layer of direction < 0 ? layers : reversed(layers)) {
      for (const each of layer) {
        const near = neighbours(each, direction);
        each.mean = near.length ? near.reduce((total, { to }) => total + to.index, 0) / near.length : each.index;
      }
      layer.sort((a, b) => a.mean - b.mean || a.index - b.index);
      layer.forEach((each, i) => (each.index = i));
    }
    const found = countCrossings(layers);
    if (found < fewest) [best, fewest] = [layers.map(layer => [...layer]), found];
  }
  best.forEach((layer, i) => layers[i].splice(0, layer.length, ...layer));
  number();
}

// Count the pairs of links that cross, as inversions (Barth, Jünger & Mutzel 2002).
function countCrossings(layers) {
  let count = 0;
  for (const layer of layers) {
    const ends = [];
    for (const each of layer) {
      const next = each.links.filter(({ to }) => to.layer > each.layer).map(({ to }) => to.index);
      ends.push(...next.sort((a, b) => a - b));
    }
    const seen = new Int32Array(largestOf(ends, 0) + 2); // a Fenwick tree
    ends.forEach((end, i) => {
      count += i;
      for (let k = end + 1; k > 0; k -= k & -k) count -= seen[k];
      for (let k = end + 1; k < seen.length; k += k & -k) seen[k]++;
    });
  }
  return count;
}

// Place members near their neighbours, in order and without overlaps, by sweeps of weighted least squares.
export function placeRows(layers) {
  for (const layer of layers) {
    let y = 0;
    for (const each of layer) {
      each.y = y + each.height / 2;
      y += each.height + each.gap;
    }
    for (const each of layer) each.y -= y / 2;
  }
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const settled = sweep === SWEEPS - 1 || sweep === SWEEPS - 2;
    const direction = sweep % 2 ? 1 : -1;
    for (const layer of direction < 0 ? layers : reversed(layers)) settle(layer, settled ? 0 : direction);
  }
}

// Move the members of a layer to the mean of their neighbours on one side, or on both sides if `direction` is 0.
// Members that would overlap move as one block, by the pool adjacent violators algorithm (Best & Chakravarti 1990).
function settle(layer, direction) {
  const blocks = [];
  let offset = 0;
  layer.forEach((each, i) => {
    const near = each.links.filter(({ to }) => direction === 0 || Math.sign(to.layer - each.layer) === direction);
    const weight = near.reduce((total, link) => total + link.weight, 0);
    const wanted = weight ? near.reduce((total, link) => total + link.weight * link.to.y, 0) / weight : each.y;
    if (i) offset += (layer[i - 1].height + each.height) / 2 + gapBetween(layer[i - 1], each);
    each.offset = offset;
    const share = Math.max(weight, 0.1);
    blocks.push({ pull: share * (wanted - offset), share, members: [each] });
    while (blocks.length > 1 && at(blocks.at(-1)) <= at(blocks.at(-2))) {
      const { pull, share: more, members } = blocks.pop();
      const block = blocks.at(-1);
      block.pull += pull;
      block.share += more;
      block.members.push(...members);
    }
  });
  for (const block of blocks) for (const each of block.members) each.y = at(block) + each.offset;

  function at({ pull, share }) {
    return pull / share;
  }
}

// Make bundles straight where there is room: place all dummies of a bundle at one height.
export function straighten(layers, bundles) {
  for (const { dummies, a, b } of bundles) {
    if (dummies.length < 2) continue;
    let low = -Infinity;
    let high = Infinity;
    for (const each of dummies) {
      const layer = layers[each.layer];
      const i = layer.indexOf(each);
      const above = layer[i - 1];
      const below = layer[i + 1];
      if (above) low = Math.max(low, above.y + (above.height + each.height) / 2 + gapBetween(above, each));
      if (below) high = Math.min(high, below.y - (below.height + each.height) / 2 - gapBetween(each, below));
    }
    if (low > high) continue;
    const ends = [a, b].filter(Boolean).map(end => end.y);
    const wanted = dummies.reduce((total, each) => total + each.y, 0) / dummies.length;
    const y = Math.min(high, Math.max(low, ends.find(end => Math.abs(end - wanted) < 12) ?? wanted));
    for (const each of dummies) each.y = y;
  }
}

const gapBetween = (a, b) => (a.each && b.each ? 4 : Math.max(a.each ? 0 : a.gap, b.each ? 0 : b.gap));
