// Copy the run as a Python program, which gives the same numbers to the last bit, or copy the address of the page.

import { byId, html } from "./elements.js";
import { isEditable, isLeaf } from "./graph.js";
import { reversed } from "./lists.js";
import { tellOn } from "./menu.js";
import { page } from "./page.js";
import { session } from "./session.js";
import { exact, expressionOf } from "./text.js";

const MOST_COPIED = 5000; // nodes of a graph that can be copied

const isCopyable = graph =>
  (graph.copyable ??= graph.nodes.length <= MOST_COPIED && graph.nodes.every(node => isLeaf(node) || node.listed));

export function pythonOf(graph, data, actions) {
  const named = node => /^(\w+)\(/.exec(node.written ?? node.text ?? "")?.[1];
  const functions = graph.nodes.map(named).filter(Boolean);
  const taken = new Set(["Value", "float", "print", ...functions, ...page.keywords]);
  const names = graph.nodes.map(({ name }) => {
    const first = name
      .normalize("NFKC")
      .replace(/[^\p{L}\p{N}_]+/gu, "_")
      .replace(/^(?=\p{N})|^$/u, "_");
    let own = first;
    for (let count = 2; taken.has(own); count++) own = `${first}_${count}`;
    taken.add(own);
    return own;
  });
  const number = x => (Number.isFinite(x) ? exact(x) : `float("${exact(x)}")`);
  const lines = [];
  const leaves = [...graph.nodes.keys()].filter(i => isEditable(graph.nodes[i]));
  for (const i of leaves) lines.push(`${names[i]} = Value(${number(data[i])}, ${JSON.stringify(graph.nodes[i].name)})`);
  for (const i of reversed(graph.order)) {
    const { parents, text, written } = graph.nodes[i];
    // Python makes no node of plain numbers, so if all operands are constants, they are written as Values.
    const constant = parents.every(parent => !graph.nodes[parent].gets);
    const operand = parent =>
      isLeaf(graph.nodes[parent]) && !graph.nodes[parent].gets
        ? constant
          ? `Value(${number(data[parent])})`
          : number(data[parent])
        : names[parent];
    lines.push(`${names[i]} = ${expressionOf(written ?? text, parents.map(operand))}`);
  }
  const root = names[graph.root];
  for (const action of actions) {
    if (action === "backward") lines.push(`${root}.backward()`);
    else lines.push(...leaves.map(i => `${names[i]}.grad = 0.0`));
  }
  lines.push(
    `print(${root}.data)`,
    ...leaves.map(i => `print(${JSON.stringify(graph.nodes[i].name)}, ${names[i]}.data, ${names[i]}.grad)`),
  );
  return `from micrograd_cn import ${[...new Set(["Value", ...functions])].join(", ")}\n\n${lines.join("\n")}\n`;
}

// `before` is called before the address is copied, because the address may wait to be written.
export const copying = { before() {} };

// Copy a text to the clipboard, and say so on the button. If the browser does not allow this, say `refused`.
async function copyText(button, text, refused) {
  let copied = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copied = copySelected(button, text); // a page in a frame may lack the permission
  }
  byId("menu_told").textContent = copied ? "" : session.words[refused];
  if (copied) tellOn(button, "copied");
}

// Copy a text as a selection of the page, and return whether the browser has done it.
function copySelected(button, text) {
  const field = html("textarea", { readonly: "" });
  field.value = text;
  button.after(field); // in the menu, which closes when something outside has the focus
  field.select();
  try {
    return document.execCommand("copy");
  } catch {
    return false;
  } finally {
    button.focus();
    field.remove();
  }
}

byId("copy_python").addEventListener("click", () =>
  copyText(
    byId("copy_python"),
    pythonOf(session.graph, session.numbers.data, session.chosen.actions),
    "python_not_copied",
  ),
);
byId("copy_link").addEventListener("click", () => {
  copying.before();
  copyText(byId("copy_link"), location.href, "link_not_copied");
});
session.watch(() => (byId("copy_python").disabled = !isCopyable(session.graph)));
