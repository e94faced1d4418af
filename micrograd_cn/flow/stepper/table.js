// Show the information of the picture as two tables, of nodes and of edges.

import { html } from "./elements.js";
import { calledIn } from "./parts.js";
import { bracketed, exact, filled, shown } from "./text.js";

const shownRows = new WeakMap(); // what each table shows

// Fill a table. A cell is a text, a number, a list of terms, or null. A tooltip has the numbers with all their digits.
// Only cells that have changed are written.
function fillTable(table, headings, rows) {
  if (table.rows.length !== rows.length + 1) {
    const line = (cell, attributes) => html("tr", {}, ...headings.map(() => html(cell, attributes)));
    table.replaceChildren(
      html("thead", {}, line("th", { scope: "col" })),
      html("tbody", {}, ...rows.map(() => line("td", {}))),
    );
  }
  const all = [headings, ...rows];
  const last = shownRows.get(table);
  shownRows.set(table, all);
  all.forEach((cells, i) => {
    cells.forEach((content, j) => {
      if (last?.length === all.length && Object.is(last[i][j], content)) return;
      const cell = table.rows[i].cells[j];
      const number = typeof content === "number";
      const counts = number || Array.isArray(content);
      const written = form => (number ? form(content) : content.map(x => bracketed(form(x))).join(" + "));
      const text = counts ? written(shown) : (content ?? "");
      const full = counts ? written(exact) : "";
      if (cell.textContent !== text) cell.textContent = text;
      if (cell.title !== full) cell.title = full;
      if (i) cell.classList.toggle("number", number);
    });
  });
}

function standing(facts, words) {
  return filled(words.standing, { state: words[facts.state], arrived: filled(words.arrived, facts) });
}

export function fillTables(view, words) {
  fillTable(
    document.getElementById("nodes"),
    ["name", "operation", "data", "grad", "terms", "state"].map(key => words[key]),
    view.boxes.map((facts, i) => [
      calledIn(view, i, words),
      facts.symbol,
      facts.value,
      facts.grad,
      facts.terms,
      facts.constant ? words.constant : facts.began ? standing(facts, words) : words.waiting,
    ]),
  );
  fillTable(
    document.getElementById("edges"),
    ["from", "to", "slot", "local", "upstream", "contribution"].map(key => words[key]),
    view.edges.map((facts, i) => [
      calledIn(view, view.shape.edges[i].source, words),
      calledIn(view, view.shape.edges[i].target, words),
      facts.count > 1 ? filled(words.edges_count, facts) : String(facts.slot + 1),
      facts.nothing === "unselected" ? words.unselected : facts.partial,
      facts.upstream,
      facts.size,
    ]),
  );
}
