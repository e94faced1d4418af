// Show how the model reads what was typed: the tokens, the chances of the next token, and the attention of each head.

import { drawArcs, widthOfArcs } from "./arcs.js";
import { model } from "./settings.js";
import { byId, html, setText, svg } from "../stepper/elements.js";
import { largestOf } from "../stepper/lists.js";
import { session } from "../stepper/session.js";
import { exact, filled } from "../stepper/text.js";

// Return the tokens of what was typed, up to the first unknown character and to the length of the block.
export function typedTokens() {
  const { learner, settings } = model;
  const characters = [...settings.typed];
  const unknown = characters.findIndex(c => !learner.number.has(c));
  const known = unknown < 0 ? characters : characters.slice(0, unknown);
  const room = learner.block - 1;
  const fault =
    unknown >= 0
      ? filled(session.words.m_unknown, { character: characters[unknown] })
      : known.length > room
        ? filled(session.words.m_too_long, { count: room })
        : "";
  return { tokens: [learner.end, ...known.slice(0, room).map(c => learner.number.get(c))], fault };
}

export const letterOf = token => (model.learner.letters[token] === " " ? "␣" : model.learner.letters[token]);

export const readNow = () => typedTokens().tokens.slice(0, (model.at ?? Infinity) + 1);
export const textOf = tokens => tokens.map(letterOf).join("");

// Return the shares of each head's attention at the chosen position.
export const modelShares = () => model.learner.look(readNow()).attention.at(-1);

// Show the tokens of what was typed, the chances of the next token, and the attention of each head.
export function showReading() {
  const { learner, settings } = model;
  const { tokens, fault } = typedTokens();
  const at = Math.min(model.at ?? Infinity, tokens.length - 1);
  const read = tokens.slice(0, at + 1);
  const { chances, attention } = learner.look(read);
  const name = letterOf(read.at(-1));
  byId("m_unknown").textContent = fault;
  byId("m_text").setAttribute("aria-invalid", String(fault !== ""));
  if (document.activeElement !== byId("m_text")) byId("m_text").value = settings.typed;
  byId("m_open_text").disabled = tokens.length < 2;
  fill(
    byId("m_tokens"),
    tokens.length,
    () => html("button", { type: "button" }),
    (button, i) => {
      setText(button, letterOf(tokens[i]));
      button.setAttribute("aria-pressed", String(i === at));
    },
  );
  setText(byId("m_chances_title"), filled(session.words.m_chances, { text: read.map(letterOf).join("") }));
  const order = [...chances.keys()].sort((a, b) => chances[b] - chances[a] || a - b); // the likeliest first
  fill(
    byId("m_chances"),
    chances.length,
    () => html("button", { type: "button" }, html("b"), html("span")),
    (button, place) => {
      const i = order[place];
      button.dataset.token = i;
      setText(button.firstChild, letterOf(i));
      setText(button.lastChild, inPercent(chances[i]));
      button.style.setProperty("--share", chances[i].toFixed(3));
      button.classList.toggle("most", place === 0);
    },
  );
  setText(byId("m_attention_title"), filled(session.words.m_attention, { token: name }));
  const heads = attention.at(-1);
  const table = byId("m_attention");
  showHeads(heads, read.map(letterOf));
  fill(
    table,
    heads.length + 1,
    () => html("tr"),
    (row, h) => {
      fill(
        row,
        read.length + 1,
        i => (h && i ? html("td", {}, html("button", { type: "button" })) : html("th", { scope: h ? "row" : "col" })),
        (cell, i) => {
          if (!h || !i) return setText(cell, h ? headName(h - 1) : i ? letterOf(read[i - 1]) : session.words.m_corner);
          const hidden = session.chosen.hides.has("attention");
          const share = hidden ? 0 : heads[h - 1][i - 1];
          const button = cell.firstChild;
          setText(button, hidden ? "?" : inPercent(share));
          button.style.setProperty("--share", share.toFixed(3));
          const label = filled(session.words.m_share, {
            head: headName(h - 1),
            at: name,
            seen: letterOf(read[i - 1]),
            share: hidden ? "?" : inPercent(share),
          });
          if (button.title !== label) for (const key of ["title", "aria-label"]) button.setAttribute(key, label);
        },
      );
    },
  );
}

const MOST_BESIDE = 8; // letters for which the arcs of all heads are shown

// Show the shares of each head as arcs. Where there is no room for all heads, the style sheet shows the one at the
// pointer, or else the one that is the most decided.
function showHeads(heads, letters) {
  const flat = heads.flat();
  const most = Math.floor(flat.indexOf(largestOf(flat)) / letters.length);
  const looked = model.head === null ? most : Math.min(model.head, heads.length - 1);
  const hidden = session.chosen.hides.has("attention");
  const frame = byId("m_reads");
  frame.classList.toggle("asks", hidden);
  frame.classList.toggle("all", letters.length <= MOST_BESIDE);
  frame.style.setProperty("--arcs", String(widthOfArcs(letters.length)));
  fill(
    frame,
    heads.length,
    () =>
      html(
        "figure",
        {},
        svg("svg", { role: "img" }),
        html("figcaption", {}, html("span", { class: "long" }), html("span", { class: "short" })),
      ),
    (figure, h) => {
      figure.classList.toggle("looked", h === looked);
      if (!figure.checkVisibility()) return;
      const [drawing, caption] = figure.children;
      const told = filled(session.words.m_reads, { head: headName(h), at: letters.at(-1) });
      const shares = letters.map((letter, i) => `${letter} ${inPercent(heads[h][i])}`).join(session.words.comma);
      setText(caption.firstChild, told);
      setText(caption.lastChild, headName(h));
      drawing.setAttribute("aria-label", hidden ? told : told + session.words.comma + shares);
      drawArcs(drawing, letters, hidden ? letters.map(() => 0) : heads[h]);
    },
  );
}

const inPercent = x =>
  Number.isFinite(x) ? `${x < 0.0995 && x >= 0.0005 ? (100 * x).toFixed(1) : Math.round(100 * x)}%` : exact(x);

export function headName(h) {
  const { heads, layers } = model.learner;
  return layers === 1
    ? filled(session.words.m_head, { head: h + 1 })
    : filled(session.words.m_head_of, { head: (h % heads) + 1, layer: Math.floor(h / heads) + 1 });
}

// Give an element `count` children, and change each of them. Children that are there already stay.
export function fill(element, count, make, change) {
  while (element.children.length > count) element.lastChild.remove();
  while (element.children.length < count) element.append(make(element.children.length));
  [...element.children].forEach(change);
}
