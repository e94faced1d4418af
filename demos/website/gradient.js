// "Check my gradient": Python code from three fields, checked at a point.

import { fromDisk, Session } from "./session.js";
import { announce, element, facts, filled, words } from "./words.js";

const base = new URL(".", document.currentScript.src).href;
const at = id => document.getElementById(id);
const fields = ["function", "gradient", "point"];
const output = at("verdict");
const files = { base, sizes: facts.sizes, wheels: facts.wheels, cdn: facts.cdn, notebook: null };
const session = new Session(files, listen);
let texts = "";

function check() {
  if (fromDisk() || session.busy) return;
  const [f, gradient, point] = fields.map(name => at(name).value);
  if (!session.worker) announce(words.starts);
  output.replaceChildren();
  texts = "";
  const call = "from website.verdict import check_my_gradient\ncheck_my_gradient(f, gradient, ";
  session.run([words.your_code], { [words.your_code]: `${f}\n\n${gradient}\n\n${call}${point.trim().replace(/,$/, "")})\n` });
  at("stop").disabled = false;
}

function listen(message) {
  const progress = at("progress");
  if (message.what === "loading") {
    progress.hidden = false;
    progress.value = message.share;
    announce(filled(words.loading, { percent: Math.round(100 * message.share) }));
  } else if (message.what === "ready") {
    progress.hidden = true;
    announce(words.checking);
  } else if (message.what === "fetching") announce(filled(words.fetching, { names: message.names.join(", ") }));
  else if (message.what === "fetched") announce(words.checking);
  else if (message.what === "unreachable") {
    output.append(element("p", "note", filled(words.unreachable_numpy, { names: message.names.join(", ") })));
  } else if (message.what === "stream") {
    texts += message.text;
    print(message.text, message.name);
  } else if (message.what === "error") print(message.text, "error");
  else if (message.what === "done") announce(verdict(message.ok));
  else if (message.what === "stopped") announce(words.stopped_plain);
  else if (message.what === "failed") announce(filled(words.broken, { text: message.text }));
  if (["idle", "stopped", "failed"].includes(message.what)) {
    at("stop").disabled = true;
    progress.hidden = true;
  }
}

function verdict(ok) {
  output.classList.toggle("right", ok && texts.trim() === "✓");
  if (!ok) return words.no_verdict;
  if (texts.trim() === "✓") return words.right;
  return texts.includes("WRONG") ? words.wrong : words.undecided;
}

function print(text, kind) {
  const last = output.lastElementChild;
  if (last?.className === kind) last.append(text);
  else output.append(element("pre", kind, text));
}

function show(example) {
  fields.forEach(name => (at(name).value = example[name]));
  output.replaceChildren();
  announce("");
}

for (const [index, { title }] of facts.examples.entries()) {
  const option = element("option", "", title);
  option.value = index;
  at("example").append(option);
}
at("example").addEventListener("change", () => show(facts.examples[at("example").value]));
at("check").addEventListener("click", check);
at("stop").addEventListener("click", () => session.stop());
for (const name of fields) {
  at(name).addEventListener("keydown", event => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey || event.shiftKey)) {
      event.preventDefault();
      check();
    }
  });
}
show(facts.examples[0]);
