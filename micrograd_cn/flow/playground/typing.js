// The room to type an expression: its field, its errors, and its variables as numbers that can be dragged.

import { EXAMPLES } from "./examples.js";
import { ReadError, readExpression } from "./expression.js";
import { addRoom, isSeen, remember, rooms, situations, visiting } from "./rooms.js";
import { dragNumber } from "../stepper/editing.js";
import { byId, html, setText } from "../stepper/elements.js";
import { isEditable, isLeaf } from "../stepper/graph.js";
import { columns } from "../stepper/labels.js";
import { page } from "../stepper/page.js";
import { saved } from "../stepper/saving.js";
import { session } from "../stepper/session.js";
import { exact, filled, parsed, shown } from "../stepper/text.js";

/** @import { Made } from "./chosen.js" */

// Read what was typed. If it has an error, the error is shown below its column, and the last graph stays. The graph of
// an expression that is being edited opens at the same point of its run as the graph before.
export function readTyped(text, values = session.typed.values, edited = false) {
  const { typed } = session;
  Object.assign(typed, { text, error: null, number: null });
  try {
    const made = readExpression(text, values);
    tellFault("");
    for (const [name, x] of made.values) values.set(name, x);
    typed.values = values;
    if (made.graph) {
      typed.made = /** @type {Made} */ ({ ...made, text });
      if (isSeen("typing")) session.open([typed.made], edited && !replaced);
      replaced = false;
    } else {
      typed.number = made.value;
      tellNumber();
    }
    showNumbers(made.values);
  } catch (error) {
    if (!(error instanceof ReadError)) throw error;
    typed.error = error;
    if (error.unfinished && document.activeElement === byId("text")) tellFault("", true);
    else showError();
  }
  tellResult();
  remember();
}

let replaced = false; // whether the next graph is that of another expression, and not of one that is being edited

// Another expression will replace this one, to which the browser's Back returns.
function replaceExpression() {
  const { lesson, typed } = session;
  if (!replaced && !typed.error && !lesson && isSeen("typing")) visiting(() => {});
  replaced = true;
}

// Replace the expression and the numbers of its variables.
export function setUpTyping(text, values) {
  byId("text").value = text;
  readTyped(text, new Map(Object.entries(values)));
}

// Show an error below its column. While an expression is still being typed, its end is not an error; that is shown when
// the reader leaves the field or presses Enter. An error at the end shows no column number, because its message says
// so.
function showError() {
  const {
    typed: { error, text },
    words,
  } = session;
  if (!error) return;
  const letters = [...text];
  const message = error.told(words);
  const told = error.column < letters.length ? filled(words.cli_error, { column: error.column + 1, message }) : message;
  tellFault(`${" ".repeat(columns(letters.slice(0, error.column).join("")))}^\n${told}`);
  byId("text").setAttribute("aria-invalid", String(true));
}

// Say that the expression is a number without variables. This is no error.
function tellNumber() {
  tellFault(filled(session.words.only_number, { value: exact(session.typed.number) }));
  byId("fault").classList.add("note");
}

function tellFault(text, waits = false) {
  byId("result").classList.toggle("waits", waits || text !== "");
  byId("text").setAttribute("aria-invalid", String(false));
  byId("fault").classList.remove("note");
  if (byId("fault").textContent !== text) byId("fault").textContent = text;
}

// Show the number of the expression that was typed. While it has an error there is none, and the graph of the
// expression before it is pale.
function tellResult() {
  const { typed, graph, numbers, origin, asksRoot } = session;
  const { error, number } = typed;
  const told = number === null && asksRoot ? "?" : shown(number ?? numbers.data[graph.root]);
  byId("result").textContent = error ? "" : `= ${told}`;
  byId("stage").classList.toggle("stale", !origin && (error !== null || number !== null));
  byId("example").value = EXAMPLES.find(([, text]) => text === typed.text)?.[0] ?? "";
  setText(byId("heading"), saved.heading() ?? "");
}

const variableNames = () => {
  const fields = /** @type {HTMLElement[]} */ ([...byId("numbers").children]);
  return fields.map(each => each.dataset.name);
};

// Show a field for each variable. Dragging the name of the variable changes its number.
function showNumbers(values) {
  const names = [...values.keys()];
  const now = variableNames();
  if (names.join() !== now.join()) {
    byId("numbers").replaceChildren(
      ...names.map((name, i) => {
        const input = html("input", { type: "text", inputmode: "decimal", id: `number${i}`, autocomplete: "off" });
        const label = html("label", { for: `number${i}` }, name);
        const chip = html("span", { class: "variable", "data-name": name }, label, input);
        const write = x => setVariable(name, x);
        label.addEventListener("pointerdown", event =>
          dragNumber(
            event,
            () => session.typed.values.get(name),
            write,
            () => input.select(),
          ),
        );
        input.addEventListener("input", () => {
          const x = parsed(input.value);
          input.setAttribute("aria-invalid", String(x === null));
          if (x !== null) write(x);
        });
        return chip;
      }),
    );
  }
  names.forEach((name, i) => {
    const input = byId("numbers").children[i].querySelector("input");
    if (document.activeElement !== input) input.value = exact(values.get(name));
  });
}

// Open the graph of the expression with the present numbers of its variables, which may have changed since it was read.
function openTyped(made, values) {
  const edits = new Map();
  made.graph.nodes.forEach((node, i) => {
    if (!isEditable(node) || !values.has(node.name)) return;
    if (!Object.is(values.get(node.name), made.data[i])) edits.set(i, values.get(node.name));
  });
  session.open([made], false, edits);
}

function setVariable(name, x) {
  session.typed.values.set(name, x);
  const i = session.graph.nodes.findIndex(node => node.name === name && isLeaf(node));
  if (i >= 0) session.edit(i, x);
  remember();
}

const readField = () => readTyped(byId("text").value, undefined, true);

byId("text").addEventListener("beforeinput", () => {
  const { selectionStart, selectionEnd, value } = byId("text");
  if (selectionEnd - selectionStart === value.length) replaceExpression();
});
byId("text").addEventListener("input", readField);
byId("text").addEventListener("blur", showError);
byId("typing").addEventListener("submit", event => {
  event.preventDefault();
  showError();
});

// Insert a call of a function at the caret, around the selected text.
byId("functions").addEventListener("change", () => {
  const field = byId("text");
  const name = byId("functions").value;
  const { selectionStart: start, selectionEnd: end } = field;
  byId("functions").value = "";
  if (!name) return;
  field.setRangeText(`${name}(${field.value.slice(start, end)})`, start, end, "end");
  field.setSelectionRange(field.selectionEnd - 1, field.selectionEnd - 1);
  field.focus();
  readField();
});
byId("example").addEventListener("change", () => {
  const found = EXAMPLES.find(([name]) => name === byId("example").value);
  if (!found) return;
  const [, text, values] = found;
  replaceExpression();
  byId("text").focus();
  byId("text").select();
  // insertText lets the reader undo the change.
  if (!document.execCommand?.("insertText", false, text)) byId("text").value = text;
  readTyped(text, new Map(Object.entries(values)));
  byId("text").blur(); // the keys of the stepper would type into it
});

// An entry of the browser's history has the expression and the step.
situations.push(() => {
  if (session.lesson || !isSeen("typing")) return () => {};
  const restores = [rooms.get("typing").keep(), session.keep()];
  return () => restores.forEach(restore => restore());
});

session.watch(({ changes }) => {
  const { typed, graph, numbers } = session;
  tellResult();
  if ("lang" in changes && byId("fault").textContent) typed.error ? showError() : tellNumber();
  if (!typed.made || graph !== typed.made.graph) return;
  let changed = false;
  graph.nodes.forEach((node, i) => {
    // a leaf that is edited in the stepper is a variable here
    if (!isEditable(node) || !typed.values.has(node.name)) return;
    changed ||= !Object.is(typed.values.get(node.name), numbers.data[i]);
    typed.values.set(node.name, numbers.data[i]);
  });
  if (changed) remember();
  showNumbers(new Map(variableNames().map(name => [name, typed.values.get(name)])));
});

saved.heading = () => session.origin?.() ?? session.typed.made?.text;

addRoom("typing", {
  panel: "stepping",
  entered() {
    const {
      typed: { made, values },
      graph,
    } = session;
    if (made && graph !== made.graph) openTyped(made, values);
  },
  facts() {
    const { text, made, values } = session.typed;
    return {
      text,
      ...Object.fromEntries([...(made?.values.keys() ?? [])].map(name => [`=${name}`, exact(values.get(name))])),
    };
  },
  keep() {
    const { text, values, made, error, number } = session.typed;
    const before = new Map(values);
    return () => {
      byId("text").value = text;
      Object.assign(session.typed, { text, values: new Map(before), made, error, number });
      tellFault("");
      if (made) {
        openTyped(made, before);
        showNumbers(before.size ? new Map([...made.values.keys()].map(name => [name, before.get(name)])) : made.values);
      }
      if (number !== null || error) readTyped(text, before);
    };
  },
  begin() {
    const option = (value, attributes, text = value) => html("option", { value, ...attributes }, text);
    const functions = Object.entries(page.grammar.functions).map(([name, { usage }]) => option(name, {}, usage));
    byId("functions").replaceChildren(option("", { "data-word": "functions" }), ...functions);
    byId("example").replaceChildren(
      option("", { "data-word": "choose" }),
      ...EXAMPLES.map(([name]) => option(name, { "data-word": `example_${name}` })),
    );
    const [, text, first] = EXAMPLES[0];
    setUpTyping(text, first);
  },
  arrive(link) {
    const given = link.get("text");
    byId("text").value = given ?? session.typed.text;
    const values = [...link]
      .filter(([key, x]) => key.startsWith("=") && parsed(x) !== null)
      .map(([key, x]) => /** @type {[string, number]} */ ([key.slice(1), parsed(x)]));
    if (given !== undefined) readTyped(given, new Map(values));
  },
});
