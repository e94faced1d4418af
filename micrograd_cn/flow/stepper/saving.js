// Save the picture of the graph: what is seen of it now, as an SVG or a PNG, or the whole pass as an animated SVG.
//
// A picture of its own is made for a file, by the code that draws the page. So the file has neither the motion of the
// page nor a focus.

import { escaped, markupOf } from "./drawing.js";
import { byId, fieldById, html, svg } from "./elements.js";
import { gradient, plan } from "./engine.js";
import { textWidth, wrapped } from "./fitting.js";
import { makeShape } from "./fold.js";
import { animated } from "./frames.js";
import { isEditable, isNamed } from "./graph.js";
import { called, cleaned } from "./labels.js";
import { tellOn } from "./menu.js";
import { momentAt, momentNow } from "./moment.js";
import { page } from "./page.js";
import { Picture } from "./picture.js";
import { session } from "./session.js";
import { filled, piecesOf, shown } from "./text.js";
import { makeView } from "./view.js";
import { viewport } from "./viewport.js";

const SHEET = { rim: 16, least: 420, heading: 26, line: 23, wide: 1150 }; // pixels; a wider picture has larger letters
const MOST_LEAVES = 6; // leaves that a caption has, as in pictures of Python
const PNG = { scale: 2, most: 8000 }; // pixels of the image for one of the picture, and the longest side

// `heading` returns what the picture is called: the expression, or what a room has opened.
export const saved = { heading: () => page.expression };

const headingNow = () => saved.heading() || session.words.title;

/**
 * Draw a picture that nobody sees, and return what `use` returns of it.
 * @template Result
 * @param {Run} run
 * @param {(picture: Picture, root: SVGSVGElement) => Result} use
 * @returns {Result}
 */
function unseen(run, use) {
  const { numbers, moves, shape, words } = run;
  const done = Math.max(moves.length, session.chosen.done);
  const picture = new Picture(shape, words, {}, makeView(shape, numbers, moves, done), viewport);
  const root = svg("svg", { class: "unseen", "aria-hidden": "true" }, picture.root);
  document.body.append(root);
  try {
    return use(picture, root);
  } finally {
    root.remove();
  }
}

/**
 * Return a run whose shape and steps are like those of the session, and which can be drawn apart from it.
 * @returns {Run}
 */
function runApart() {
  const { graph, numbers, moves, words, chosen } = session;
  const shape = makeShape(graph, chosen.open);
  return { shape, numbers, moves, words, chosen, steps: plan(shape, moves) };
}

/**
 * Return the part of the graph that is seen. It is the whole graph, unless the reader has moved the graph or changed its
 * size.
 * @param {[number, number]} size of the whole graph
 * @returns {Part}
 */
function windowOnGraph([wide, tall]) {
  const { x, y, zoom, room, touched } = viewport;
  const beside = 8;
  if (!touched) return [-beside, -beside, wide + 2 * beside, tall + 2 * beside];
  const ranges = [
    [-x, room[0], wide],
    [-y, room[1], tall],
  ].map(([start, length, size]) => {
    const [from, to] = [Math.max(-beside, start / zoom), Math.min(size + beside, (start + length) / zoom)];
    return to > from ? [from, to - from] : [-beside, size + 2 * beside];
  });
  return [ranges[0][0], ranges[1][0], ranges[0][1], ranges[1][1]];
}

/**
 * Return the text of an SVG file. `graph` and `caption` are its parts, and `window` is the part of the graph that it
 * shows. The description is for screen readers, and a viewer shows the title as a tooltip.
 * @param {[graph: string, caption: string]} texts
 * @param {string} style
 * @param {Part} seen
 * @param {string} description
 * @param {ReturnType<typeof sheetOf>} sheet
 */
function fileOf([graph, caption], style, [left, top, wide, tall], description, sheet) {
  const { scale, width, heading, rows } = sheet;
  const rim = SHEET.rim * scale;
  const above = heading.length * SHEET.heading * scale + rim;
  const height = above + tall + (rows * SHEET.line + 12) * scale + rim;
  const title = filled(session.words.pass_title, { expression: headingNow() });
  const { fontFamily, backgroundColor } = getComputedStyle(document.documentElement);
  const at = `x="${(width - wide) / 2}" y="${above}" width="${wide}" height="${tall}" viewBox="${left} ${top} ${wide} ${tall}"`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="${escaped(fontFamily)}">`,
    `<title>${escaped(title)}</title><desc>${escaped(description)}</desc>`,
    ...(style ? [`<style>${style}</style>`] : []),
    `<rect width="${width}" height="${height}" fill="${backgroundColor}"/>`,
    ...heading.map(
      (text, i) =>
        `<g transform="translate(${width / 2},${rim + (i + 0.7) * SHEET.heading * scale}) scale(${scale})">${text}</g>`,
    ),
    `<svg ${at}>${graph}</svg>`,
    `<g transform="translate(${rim},${above + tall + 12 * scale}) scale(${scale})">${caption}</g>`,
    "</svg>",
    "",
  ].join("\n");
}

/**
 * Return the heading's lines and the captions of moments as texts of SVG. They are as wide as the picture.
 * @param {number} wide
 * @param {string[]} told
 * @param {SVGSVGElement} root
 */
function sheetOf(wide, told, root) {
  const scale = Math.max(1, wide / SHEET.wide);
  const width = Math.max(wide, SHEET.least * scale) + 2 * SHEET.rim * scale;
  const room = width / scale - 2 * SHEET.rim;
  const set = (name, x, y, pieces) => {
    const text = svg(
      "text",
      { class: name, x, y },
      ...pieces.map(([look, piece]) => svg("tspan", { class: look }, piece)),
    );
    root.append(text);
    return markupOf(text);
  };
  const heading = wrapped([["", cleaned(headingNow())]], room, word => textWidth(word, "heading")).map(line =>
    set("heading", 0, 0, line),
  );
  const captions = told.map(text => wrapped(piecesOf(text), room, word => textWidth(word, "told")));
  const rows = Math.max(...captions.map(lines => lines.length));
  return {
    scale,
    width,
    heading,
    rows,
    captions: captions.map(lines => lines.map((line, i) => set("told", 0, (i + 0.8) * SHEET.line, line)).join("")),
  };
}

/**
 * Return what `tell` says of the leaves that have a name and a box of their own.
 * @param {Run} run
 * @param {(leaf: number) => string} tell
 */
function leavesTold({ shape }, tell) {
  const { nodes } = shape.graph;
  const own = [...nodes.keys()].filter(
    i => isEditable(nodes[i]) && isNamed(nodes[i]) && !shape.boxes[shape.boxOf[i]].folded,
  );
  return own
    .slice(0, MOST_LEAVES)
    .map(i => `${called(nodes[i].name)}${tell(i)}`)
    .join(session.words.comma);
}

const valuesTold = run => leavesTold(run, i => ` = ${shown(run.numbers.data[i])}`);
const gradientsTold = (run, { state }) =>
  run.chosen.hides.size ? "" : leavesTold(run, i => `.grad = ${shown(gradient(state, i))}`);

/**
 * Return the text of an SVG of what is seen now.
 * @returns {string}
 */
function pictureNow() {
  const run = runApart();
  const now = momentNow(session, false);
  const { done, asking } = session.chosen;
  const told = done || asking ? now.told : valuesTold(run);
  return unseen(run, (picture, root) => {
    picture.update(now.seen, run.words, now.active);
    const seen = windowOnGraph(run.shape.size);
    const sheet = sheetOf(seen[2], [told], root);
    return fileOf(
      [markupOf(picture.root), sheet.captions[0]],
      "",
      seen,
      piecesOf(told)
        .map(([, text]) => text)
        .join(""),
      sheet,
    );
  });
}

/**
 * Return the text of an animated SVG of all steps, or null if the graph is too large to be read in it.
 * @returns {string | null}
 */
function pictureOfPass() {
  const run = runApart();
  const { shape, steps, moves, words } = run;
  const { limits, seconds } = page;
  if (shape.boxes.length > limits.boxes || shape.edges.length > limits.edges) return null;
  const end = momentAt(run, moves.length);
  const gradients = gradientsTold(run, end.view);
  const last = { ...end, told: gradients || words.is_done };
  const start = { ...momentAt(run, 0), told: valuesTold(run) };
  const told = steps.map((step, i) => momentAt(run, step.end, step, steps[i + 1]));
  // The end comes first too, because a viewer that does not play an animation may show its first moment.
  const moments = [last, start, ...told, last];
  const wait = ({ kind }) => (kind === "send" ? seconds.backward : seconds.forward);
  const times = [seconds.first, seconds.leaves, ...steps.map(wait), seconds.last];
  return unseen(run, (picture, root) => {
    const elements = [...picture.root.querySelectorAll("rect, path, text")];
    const [wide, tall] = shape.size;
    /** @type {Part} */
    const window = [-8, -8, wide + 16, tall + 16];
    const sheet = sheetOf(
      window[2],
      moments.map(each => each.told),
      root,
    );
    const texts = moments.map(({ seen, active }, i) => {
      picture.update(seen, words, active);
      return [...elements.map(markupOf), sheet.captions[i]];
    });
    const { elements: found, style } = animated(texts, times);
    const captions = found.pop();
    return fileOf(
      [found.join(""), captions],
      style,
      window,
      filled(words.pass_moves, { gradients: last.told.replace(/[.。]$/, "") }),
      sheet,
    );
  });
}

// Let the browser save a file.
function offer(name, content) {
  const address = URL.createObjectURL(content);
  html("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

const offerSvg = (name, text) => offer(`${name}.svg`, new Blob([text], { type: "image/svg+xml" }));
const nameNow = () => `backpropagation-step-${session.position}`;

async function offerPng() {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(pictureNow())}`;
  await image.decode();
  const { width, height } = image;
  const scale = Math.min(PNG.scale, PNG.most / Math.max(width, height));
  const canvas = html("canvas", { width: Math.round(width * scale), height: Math.round(height * scale) });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  canvas.toBlob(content => offer(`${nameNow()}.png`, content));
}

export const savings = {
  save_svg: () => offerSvg(nameNow(), pictureNow()),
  save_png: offerPng,
  save_pass() {
    const text = pictureOfPass();
    byId("menu_told").textContent = text === null ? filled(session.words.pass_small, page.limits) : "";
    if (text !== null) offerSvg("backpropagation", text);
    return text !== null;
  },
};
for (const [id, save] of Object.entries(savings)) {
  fieldById(id).addEventListener("click", async () => (await save()) !== false && tellOn(fieldById(id), "saved"));
}
