// The numbers that Python has recorded: what the page computes to the last bit is not sent, and is computed when it is asked for.

import { forward, partials } from "../rows.js";
import { isLeaf } from "./graph.js";
import { decoded } from "./page.js";
import { exact } from "./text.js";

export class Recorded {
  constructor(graph, sent) {
    Object.assign(this, { graph, sent, value: decoded(sent.value), numbers: null });
    this.theirs = sent.theirs?.map(decoded); // the gradients that a class of the reader's own computed
  }

  get data() {
    return (this.numbers ??= unpacked(this.graph, this.sent)).data;
  }

  get partials() {
    return (this.numbers ??= unpacked(this.graph, this.sent)).partials;
  }
}

// Nodes stand after their operands. Of each operation `exact` is 1 if its value is computed, plus 2 if its partials are.
function unpacked({ nodes }, sent) {
  const values = sent.data.values(), slots = sent.partials.values(), data = [], local = [];
  for (const node of nodes) {
    const exact = sent.short && !isLeaf(node) ? node.exact ?? 0 : 0, operands = node.parents?.map(i => data[i]);
    const y = exact & 1 ? forward[node.row](...operands) : decoded(values.next().value);
    data.push(y);
    local.push(isLeaf(node) ? [] : exact & 2 ? partials[node.row](y, ...operands) : slots.next().value.map(decoded));
  }
  return { data, partials: local };
}
