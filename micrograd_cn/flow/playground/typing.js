// The room in which one types an expression: its field, its errors, its variables as numbers to drag.

const typed = { text: "", values: new Map(), made: null };

// Read what was typed; an error is shown below its column, and the last graph stays.
function readTyped(text, values = typed.values) {
  typed.text = text;
  try {
    const made = readExpression(text, values);
    typed.error = null;
    tellFault("");
    for (const [name, x] of made.values) values.set(name, x);
    typed.values = values;
    if (made.graph) {
      typed.made = made;
      leave(made, true);
    } else tellFault(filled(words.only_number, { value: exact(made.value) }));
    showNumbers(made.values);
  } catch (error) {
    if (!(error instanceof ReadError)) throw error;
    typed.error = error;
    if (error.unfinished && document.activeElement === part("text")) tellFault("", true);
    else showError();
  }
  remember();
}

// An error, below its column; of what is still being typed, when the field is left or Enter is pressed.
function showError() {
  const { error, text } = typed;
  if (!error) return;
  tellFault(`${" ".repeat(columns([...text].slice(0, error.column).join("")))}^\n${filled(words.cli_error, { column: error.column + 1, message: error.message })}`);
  part("text").setAttribute("aria-invalid", true);
  typed.fault = error.column;
}

function tellFault(text, waits = false) {
  typed.fault = null;
  part("result").classList.toggle("waits", waits || text !== "");
  part("text").setAttribute("aria-invalid", false);
  if (part("fault").textContent !== text) part("fault").textContent = text;
}

// A field for each variable, whose name one drags.
function showNumbers(values) {
  const names = [...values.keys()], now = [...part("numbers").children].map(each => each.dataset.name);
  if (names.join() !== now.join()) {
    part("numbers").replaceChildren(...names.map((name, i) => {
      const input = html("input", { type: "text", inputmode: "decimal", id: `number${i}`, autocomplete: "off" });
      const label = html("label", { for: `number${i}` }, name), chip = html("span", { class: "variable", "data-name": name }, label, input);
      const write = x => setVariable(name, x);
      label.addEventListener("pointerdown", event => dragNumber(event, () => typed.values.get(name), write, () => input.select()));
      input.addEventListener("input", () => {
        const x = parsed(input.value);
        input.setAttribute("aria-invalid", x === null);
        if (x !== null) write(x);
      });
      return chip;
    }));
  }
  names.forEach((name, i) => {
    const input = part("numbers").children[i].querySelector("input");
    if (document.activeElement !== input) input.value = exact(values.get(name));
  });
}

function setVariable(name, x) {
  typed.values.set(name, x);
  const i = graph.nodes.findIndex(node => node.name === name && isLeaf(node));
  if (i >= 0) edit(i, x);
  remember();
}

part("text").addEventListener("input", () => readTyped(part("text").value));
part("text").addEventListener("blur", showError);
part("typing").addEventListener("submit", event => {
  event.preventDefault();
  showError();
});

// Put a function's name in where the caret is.
part("functions").addEventListener("change", () => {
  const field = part("text"), name = part("functions").value, { selectionStart: start, selectionEnd: end } = field;
  part("functions").value = "";
  if (!name) return;
  field.setRangeText(`${name}(${field.value.slice(start, end)})`, start, end, "end");
  field.setSelectionRange(field.selectionEnd - 1, field.selectionEnd - 1);
  field.focus();
  readTyped(field.value);
});
part("example").addEventListener("change", () => {
  const found = EXAMPLES.find(([name]) => name === part("example").value);
  if (!found) return;
  const [, text, values] = found;
  part("text").focus();
  part("text").select();
  if (!document.execCommand?.("insertText", false, text)) part("text").value = text; // so that what was typed can be had back
  readTyped(text, new Map(Object.entries(values)));
});

// A leaf that is edited in the stepper is the variable.
watchers.push(() => {
  if (!typed.made || graph !== typed.made.graph) return;
  let changed = false;
  graph.nodes.forEach((node, i) => {
    if (!isEditable(node) || !typed.values.has(node.name)) return;
    changed ||= !Object.is(typed.values.get(node.name), numbers.data[i]);
    typed.values.set(node.name, numbers.data[i]);
  });
  if (changed) remember();
  showNumbers(new Map([...part("numbers").children].map(({ dataset }) => [dataset.name, typed.values.get(dataset.name)])));
});
