// React to the pointer on the plane: draw points of the reader's own, or choose a sample.

import { drawBoard, refresh } from "./board.js";
import { LEAST_POINTS, pointOf } from "./data.js";
import { placeIn } from "./plane.js";
import { remember } from "./rooms.js";
import { openSample, renew } from "./training.js";
import { byId, fieldById } from "../stepper/elements.js";
import { session } from "../stepper/session.js";

function choosePaint(label) {
  session.board.paint = label;
  for (const k of [0, 1]) fieldById(`class${k}`).setAttribute("aria-pressed", String(k === label));
}

function repaint(change) {
  const { board } = session;
  change(board.own);
  remember();
  if (!board.trainer.history.length || !board.own.length) renew();
  else {
    Object.assign(board.trainer, { waiting: [], plain: false });
    board.point = Math.max(0, Math.min(board.point, board.own.length - 1));
    refresh();
  }
}

const plane = byId("plane");

// Draw a point where the pointer is pressed, and further points while it is dragged.
let brush = null;
function dab(event) {
  brush = [event.clientX, event.clientY];
  const at = placeIn(plane, event).map(x => Number(x.toFixed(2))); // as in a link
  repaint(own => own.push(pointOf(at, session.board.paint)));
}
plane.addEventListener("pointerdown", event => {
  if (session.board.settings.data !== "own") return;
  plane.setPointerCapture?.(event.pointerId);
  dab(event);
});
plane.addEventListener("pointermove", event => {
  if (brush && Math.hypot(event.clientX - brush[0], event.clientY - brush[1]) >= 14) dab(event);
});
for (const name of ["pointerup", "pointercancel"]) plane.addEventListener(name, () => (brush = null));

plane.addEventListener("click", event => {
  const { board } = session;
  const at = placeIn(plane, event);
  if (board.settings.data === "own") return;
  const distances = board.trainer.points.map(({ at: [x, y] }) => Math.hypot(x - at[0], y - at[1]));
  board.point = distances.indexOf(Math.min(...distances));
  openSample();
});

// The arrow keys choose a sample, and Enter opens it.
plane.addEventListener("keydown", event => {
  const { board } = session;
  const count = board.trainer.points.length;
  const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if ((!by && event.key !== "Enter") || count < LEAST_POINTS) return;
  event.preventDefault();
  event.stopPropagation();
  if (!by) return openSample();
  board.point = (board.point + by + count) % count;
  drawBoard(true);
});

byId("unpaint").addEventListener("click", () => repaint(own => own.pop()));
byId("clear").addEventListener("click", () => repaint(own => own.splice(0)));
for (const k of [0, 1]) fieldById(`class${k}`).addEventListener("click", () => choosePaint(k));
