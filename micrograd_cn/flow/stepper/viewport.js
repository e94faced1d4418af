// The window on the graph. The reader drags and zooms it, and it follows the steps by itself.

import { byId, svg, targetOf } from "./elements.js";
import { still } from "./motion.js";

/** @import { Picture } from "./picture.js" */

const ZOOM = { least: 0.05, most: 3.2, first: 2.8, presented: 3, legible: 1 };
const SEEN_FAR = 720; // pixels of a graph, at most, that fill the width of a window when the page is shown to a room
const HIGH = 0.88; // the share of the window's height that a stretched graph has
const MOST_CHANGED = 0.1; // the share by which the window may change until a stretched graph is arranged anew
const RIM = { roomy: 14, tight: 6 };
const NARROW = 640; // In a window of fewer pixels, the graph runs from top to bottom.
const EDGES = ["--left", "--top", "--right", "--bottom"];
const WHOLE = 0.65; // letters that are read from afar may shrink to this share if the whole graph is seen then
const CLOSER = 0.7; // at least this share is left of a graph's size when its boxes are drawn closer together

class Viewport {
  /** @type {(() => void) | undefined} called if the graph must now be arranged in another way */
  turned;
  /** @type {(() => void) | undefined} called if the window has another size */
  moved;
  embedded = false; // whether the page is in a frame of another page
  presented = false; // whether the page is shown to a room, whose last row is far away
  /** @type {Picture | null} */
  picture = null;
  /** @type {Box[]} */
  boxes = [];
  /** @type {Placed[]} */
  sought = [];
  /** @type {[number, number]} */
  size = [1, 1];
  /** @type {[number, number]} the size of the graph if it is not drawn closer together */
  roomy = [1, 1];
  tight = false;
  /** @type {Stage | null} what the graph was stretched for */
  stage = null;
  /** @type {Map<number, Point>} */
  pointers = new Map();
  /** @type {number | undefined} */
  frameRequest;

  /**
   * @param {HTMLElement} frame
   * @param {HTMLElement} buttons
   */
  constructor(frame, buttons) {
    this.frame = frame;
    this.buttons = buttons;
    this.scene = svg("g");
    this.root = svg("svg", { role: "group" }, this.scene);
    frame.replaceChildren(this.root);
    this.x = 0;
    this.y = 0;
    this.zoom = 1;
    this.touched = false;
    frame.addEventListener("wheel", event => this.wheel(event), { passive: false });
    frame.addEventListener("pointerdown", event => this.down(event));
    frame.addEventListener("keyup", event => event.key === "Tab" && this.follow(targetOf(event)));
    for (const name of ["pointermove", "pointerup", "pointercancel"])
      addEventListener(name, event => this.move(/** @type {PointerEvent} */ (event)));
    this.vertical = frame.clientWidth < NARROW;
    const observer = new ResizeObserver(() => this.resized());
    for (const element of [frame, buttons]) observer.observe(element);
  }

  // The size of the window has changed. `turned` is called if the graph must now run in the other direction, or must be
  // drawn closer together, or no longer, or must be stretched in another way.
  resized() {
    const vertical = this.frame.clientWidth < NARROW;
    const turns = vertical !== this.vertical;
    if (this.frame.clientWidth && (turns || this.isTight !== this.tight || this.isStale)) {
      this.vertical = vertical;
      this.turned?.();
    }
    if (!this.touched) {
      this.begin();
      this.bring(this.sought, (x, y) => this.to(x, y));
    }
    this.moved?.();
  }

  /** @param {Picture} picture */
  show(picture) {
    const { size, boxes } = picture.shape;
    this.scene.replaceChildren(picture.root);
    Object.assign(this, { picture, size, boxes });
  }

  /**
   * Decide how to draw a graph that has this size if it is not drawn closer together.
   * @param {[number, number]} roomy
   * @param {boolean} hasParts
   */
  arrange(roomy, hasParts) {
    this.roomy = roomy;
    this.tight = this.isTight;
    this.stage = hasParts || this.vertical ? null : this.stageNow;
  }

  // The part of the window that a stretched graph fills.
  get stageNow() {
    const [width, height] = this.room;
    return { width: width - 2 * this.rim, height: HIGH * height, least: this.legible, most: this.most };
  }

  // Whether the graph was stretched for a window of another size.
  get isStale() {
    const { stage, stageNow, touched } = this;
    const differs = key => Math.abs(stageNow[key] - stage[key]) > MOST_CHANGED * stageNow[key];
    return stage && !touched && (differs("width") || differs("height"));
  }

  // The largest and the smallest zoom at which a graph is shown before the reader changes it.
  get most() {
    return this.presented ? ZOOM.presented : ZOOM.first;
  }

  get legible() {
    return this.presented ? Math.max(ZOOM.legible, this.room[0] / SEEN_FAR) : ZOOM.legible;
  }

  get rim() {
    return this.tight ? RIM.tight : RIM.roomy;
  }

  // Whether the graph is drawn closer together: where boxes of one layer stand side by side, where its letters are to be
  // as large as possible, and where it can be read as a whole only then.
  get isTight() {
    const { room, roomy } = this;
    const over = roomy.some((size, i) => size + 2 * RIM.roomy > room[i]);
    return this.vertical || this.presented || (over && roomy.every((size, i) => CLOSER * size < room[i]));
  }

  /** @returns {[number, number]} */
  get room() {
    return [this.frame.clientWidth, this.frame.clientHeight];
  }

  /**
   * The ranges of heights where boxes may be: the whole window, and the larger part of it beside the buttons.
   * @returns {[start: number, end: number][]}
   */
  get spans() {
    const { offsetTop: top, offsetHeight: tall } = this.buttons;
    const [, height] = this.room;
    return [[0, height], 2 * top < height ? [top + tall, height] : [0, top]];
  }

  /**
   * Return whether the buttons cover one of the boxes when the graph is at `x` and `y`.
   * @param {Placed[]} boxes
   */
  covers(boxes, x = this.x, y = this.y) {
    const { offsetLeft: left, offsetTop: top, offsetWidth: wide, offsetHeight: tall } = this.buttons;
    const { zoom } = this;
    const meet = (from, size, start, room) => from < start + room && from + size * zoom > start;
    return boxes.some(
      box => meet(x + box.x * zoom, box.width, left, wide) && meet(y + box.y * zoom, box.height, top, tall),
    );
  }

  // Show the whole graph, however small.
  fit() {
    this.place(0);
    this.touched = true;
  }

  // Show the whole graph if it is readable, or else its beginning.
  begin() {
    this.place(this.legible);
    this.touched = false;
  }

  /**
   * Place the graph at a zoom of at least `least`. If the whole graph fits, the buttons cover none of it where
   * possible.
   * @param {number} least
   */
  place(least) {
    for (const span of this.spans) {
      this.placeIn(span, least);
      if (!this.covers(this.boxes) || this.size.some((size, i) => size * this.zoom > this.room[i])) return;
    }
  }

  /**
   * @param {[top: number, bottom: number]} span
   * @param {number} least
   */
  placeIn([top, bottom], least) {
    const [width] = this.room;
    const height = bottom - top;
    const {
      rim,
      size: [w, h],
    } = this;
    if (!width || !height) return;
    const whole = Math.min((width - 2 * rim) / w, (height - 2 * rim) / h, this.most);
    const zoom = this.presented && whole > WHOLE * least ? whole : Math.max(whole, least, ZOOM.least);
    const start = this.vertical ? "y" : "x";
    const [side, across] = this.vertical ? ["x", "width"] : ["y", "height"];
    const first = this.boxes.filter(box => box[start] * zoom + rim < (this.vertical ? height : width));
    const mean = first.reduce((total, box) => total + box[side] + box[across] / 2, 0) / first.length;
    const along = (room, size) => (size * zoom + 2 * rim <= room ? (room - size * zoom) / 2 : rim);
    const beside = (room, size) =>
      size * zoom + 2 * rim <= room
        ? along(room, size)
        : Math.min(rim, Math.max(room - rim - size * zoom, room / 2 - mean * zoom));
    if (this.vertical) this.to(beside(width, w), top + along(height, h), zoom);
    else this.to(along(width, w), top + beside(height, h), zoom);
  }

  /**
   * @param {number} x
   * @param {number} y
   */
  to(x, y, zoom = this.zoom) {
    cancelAnimationFrame(this.frameRequest);
    Object.assign(this, { x, y, zoom });
    if (!this.root.hasAttribute("viewBox")) this.scene.setAttribute("transform", `translate(${x},${y}) scale(${zoom})`);
    const ends = [x, y, this.room[0] - x - this.size[0] * zoom, this.room[1] - y - this.size[1] * zoom];
    EDGES.forEach((edge, i) => this.frame.style.setProperty(edge, ends[i] < 0 ? "24px" : "0"));
  }

  /**
   * Move to a place in several frames, so the eye can follow.
   * @param {number} x
   * @param {number} y
   */
  glide(x, y) {
    if (still()) return this.to(x, y);
    const [x0, y0] = [this.x, this.y];
    const began = performance.now();
    const step = now => {
      const share = Math.min(1, Math.max(0, (now - began) / 220));
      this.to(x0 + (x - x0) * share, y0 + (y - y0) * share);
      if (share < 1) this.frameRequest = requestAnimationFrame(step);
    };
    step(began);
  }

  zoomBy(factor, cx = this.room[0] / 2, cy = this.room[1] / 2) {
    const zoom = Math.min(ZOOM.most, Math.max(ZOOM.least, this.zoom * factor));
    const ratio = zoom / this.zoom;
    this.touched = true;
    this.to(cx - (cx - this.x) * ratio, cy - (cy - this.y) * ratio, zoom);
  }

  /** @param {WheelEvent} event */
  wheel(event) {
    if ((this.embedded || window.top !== window) && !event.ctrlKey && !event.metaKey) return; // the outer page scrolls
    event.preventDefault();
    const { left, top } = this.frame.getBoundingClientRect();
    if (event.ctrlKey || event.deltaMode === 1 || (!event.deltaX && Math.abs(event.deltaY) >= 50)) {
      this.zoomBy(
        Math.exp(-Math.sign(event.deltaY) * Math.min(0.2, Math.abs(event.deltaY) / 200)),
        event.clientX - left,
        event.clientY - top,
      );
    } else this.panBy(-event.deltaX, -event.deltaY);
  }

  panBy(dx, dy) {
    this.touched = true;
    this.to(this.x + dx, this.y + dy);
  }

  /** @param {PointerEvent} event */
  down(event) {
    if (targetOf(event).closest("button") || event.defaultPrevented) return;
    this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
  }

  /** @param {PointerEvent} event */
  move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    if (event.type !== "pointermove") return this.pointers.delete(event.pointerId);
    /** @type {Point} */
    const now = [event.clientX, event.clientY];
    const others = [...this.pointers].filter(([id]) => id !== event.pointerId);
    this.pointers.set(event.pointerId, now);
    if (!others.length) return this.panBy(now[0] - before[0], now[1] - before[1]);
    const [[, other]] = others;
    const { left, top } = this.frame.getBoundingClientRect();
    const distance = point => Math.hypot(point[0] - other[0], point[1] - other[1]);
    this.panBy((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
    this.zoomBy(distance(now) / (distance(before) || 1), (now[0] + other[0]) / 2 - left, (now[1] + other[1]) / 2 - top);
  }

  /**
   * Bring boxes into view, and move no further than necessary. If they are too far apart, bring only the last one.
   * Before the first step there are no boxes, and the window returns to the beginning.
   * @param {Placed[]} boxes
   * @param {(x: number, y: number) => void} move
   * @returns {void}
   */
  bring(boxes, move = (x, y) => this.glide(x, y)) {
    const returns = !boxes.length && this.sought.length && !this.touched;
    this.sought = boxes;
    if (returns) this.place(this.legible);
    if (!boxes.length) return;
    const far = (key, size, room) =>
      (Math.max(...boxes.map(box => box[key] + box[size])) - Math.min(...boxes.map(box => box[key]))) * this.zoom + 28 >
      room;
    if (boxes.length > 1 && (far("x", "width", this.room[0]) || far("y", "height", this.room[1])))
      return this.bring(boxes.slice(-1), move);
    const { rim } = this;
    /**
     * @param {number} from
     * @param {number} to
     * @param {number[]} span
     */
    const shift = (from, to, [start, end]) =>
      from < start + rim ? start + rim - from : to > end - rim ? Math.max(end - rim - to, start + rim - from) : 0;
    const least = key => Math.min(...boxes.map(box => box[key]));
    const most = (key, size) => Math.max(...boxes.map(box => box[key] + box[size]));
    const dx = shift(least("x") * this.zoom + this.x, most("x", "width") * this.zoom + this.x, [0, this.room[0]]);
    const [dy, clear] = this.spans.map(span =>
      shift(least("y") * this.zoom + this.y, most("y", "height") * this.zoom + this.y, span),
    );
    const y = this.y + (this.covers(boxes, this.x + dx, this.y + dy) ? clear : dy);
    if (dx || y !== this.y) move(this.x + dx, y);
  }

  /**
   * Bring a part into view that the Tab key has reached. The browser does not do this for a part of an SVG.
   * @param {Element} part
   */
  follow(part) {
    /** @type {SVGRectElement | null} */
    const rect = part.querySelector(":scope > :is(.hit, .frame)");
    if (!rect) return;
    this.bring([rect.getBBox()], (x, y) => this.to(x, y));
    part.scrollIntoView({ block: "nearest", inline: "nearest" }); // in a narrow window, the page scrolls too
  }

  /**
   * For printing, show the whole graph at the width of the paper.
   * @param {boolean} begins
   */
  print(begins) {
    const [w, h] = this.size;
    if (begins) {
      this.root.setAttribute("viewBox", `-4 -4 ${w + 12} ${h + 12}`);
      this.root.style.maxWidth = `${1.1 * w}px`;
      this.scene.removeAttribute("transform");
    } else {
      this.root.removeAttribute("viewBox");
      this.root.style.maxWidth = "";
      this.to(this.x, this.y);
    }
  }
}

export const viewport = new Viewport(byId("graph"), byId("zooming"));
if (viewport.vertical) byId("tables").open = false; // they would be most of a phone's page
addEventListener("beforeprint", () => (byId("tables").open = true));
matchMedia("print").addEventListener("change", ({ matches }) => viewport.print(matches));
