// The window on the graph: dragged, zoomed with the wheel, the keys or two fingers, and moved to where something happens.

import { byId, svg } from "./elements.js";
import { still } from "./motion.js";

const ZOOM = { least: 0.05, most: 2.5, first: 1.35, legible: 1 };
const NARROW = 640; // pixels, below which the graph runs from top to bottom

class Viewport {
  constructor(frame) {
    this.frame = frame;
    this.scene = svg("g");
    this.root = svg("svg", { role: "group" }, this.scene);
    frame.replaceChildren(this.root);
    Object.assign(this, { x: 0, y: 0, zoom: 1, size: [1, 1], boxes: [], picture: null, touched: false, pointers: new Map() });
    frame.addEventListener("wheel", event => this.wheel(event), { passive: false });
    frame.addEventListener("pointerdown", event => this.down(event));
    for (const name of ["pointermove", "pointerup", "pointercancel"]) addEventListener(name, event => this.move(event));
    this.vertical = frame.clientWidth < NARROW;
    new ResizeObserver(() => this.resized()).observe(frame);
  }

  // Called when the window has changed; `turned` is what to do where the graph must now run the other way.
  resized() {
    const vertical = this.frame.clientWidth < NARROW;
    if (vertical !== this.vertical && this.frame.clientWidth) {
      this.vertical = vertical;
      this.turned?.();
    }
    if (!this.touched) this.begin();
    this.moved?.();
  }

  show(picture) {
    const { size, boxes } = picture.shape;
    this.scene.replaceChildren(picture.root);
    Object.assign(this, { picture, size, boxes });
  }

  get rim() {
    return this.vertical ? 6 : 14;
  }

  get room() {
    return [this.frame.clientWidth, this.frame.clientHeight];
  }

  // All of it, however small.
  fit() {
    this.place(0);
    this.touched = true;
  }

  // All of it, if that can be read; else its beginning, at the height where the boxes there stand.
  begin() {
    this.place(ZOOM.legible);
    this.touched = false;
  }

  place(least) {
    const [width, height] = this.room, { rim, size: [w, h] } = this;
    if (!width || !height) return;
    const whole = Math.min((width - 2 * rim) / w, (height - 2 * rim) / h, ZOOM.first), zoom = Math.max(whole, least, ZOOM.least);
    const [start, end] = this.vertical ? ["y", "height"] : ["x", "width"], [side, across] = this.vertical ? ["x", "width"] : ["y", "height"];
    const first = this.boxes.filter(box => box[start] * zoom + rim < (this.vertical ? height : width));
    const mean = first.reduce((total, box) => total + box[side] + box[across] / 2, 0) / first.length;
    const along = (room, size) => (size * zoom + 2 * rim <= room ? (room - size * zoom) / 2 : rim);
    const beside = (room, size) => (size * zoom + 2 * rim <= room ? along(room, size) : Math.min(rim, Math.max(room - rim - size * zoom, room / 2 - mean * zoom)));
    if (this.vertical) this.to(beside(width, w), along(height, h), zoom);
    else this.to(along(width, w), beside(height, h), zoom);
  }

  to(x, y, zoom = this.zoom) {
    cancelAnimationFrame(this.frameRequest);
    Object.assign(this, { x, y, zoom });
    if (!this.root.hasAttribute("viewBox")) this.scene.setAttribute("transform", `translate(${x},${y}) scale(${zoom})`);
  }

  // Move there in a few frames, so that the eye can follow.
  glide(x, y) {
    if (still()) return this.to(x, y);
    const [x0, y0] = [this.x, this.y], began = performance.now();
    const step = now => {
      const share = Math.min(1, Math.max(0, (now - began) / 220));
      this.to(x0 + (x - x0) * share, y0 + (y - y0) * share);
      if (share < 1) this.frameRequest = requestAnimationFrame(step);
    };
    step(began);
  }

  zoomBy(factor, cx = this.room[0] / 2, cy = this.room[1] / 2) {
    const zoom = Math.min(ZOOM.most, Math.max(ZOOM.least, this.zoom * factor)), ratio = zoom / this.zoom;
    this.touched = true;
    this.to(cx - (cx - this.x) * ratio, cy - (cy - this.y) * ratio, zoom);
  }

  wheel(event) {
    event.preventDefault();
    const { left, top } = this.frame.getBoundingClientRect();
    if (event.ctrlKey || event.deltaMode === 1 || !event.deltaX && Math.abs(event.deltaY) >= 50) {
      this.zoomBy(Math.exp(-Math.sign(event.deltaY) * Math.min(0.2, Math.abs(event.deltaY) / 200)), event.clientX - left, event.clientY - top);
    } else this.panBy(-event.deltaX, -event.deltaY);
  }

  panBy(dx, dy) {
    this.touched = true;
    this.to(this.x + dx, this.y + dy);
  }

  down(event) {
    if (event.target.closest("button") || event.defaultPrevented) return;
    this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    if (event.type !== "pointermove") return this.pointers.delete(event.pointerId);
    const now = [event.clientX, event.clientY], others = [...this.pointers].filter(([id]) => id !== event.pointerId);
    this.pointers.set(event.pointerId, now);
    if (!others.length) return this.panBy(now[0] - before[0], now[1] - before[1]);
    const [[, other]] = others, { left, top } = this.frame.getBoundingClientRect();
    const distance = point => Math.hypot(point[0] - other[0], point[1] - other[1]);
    this.panBy((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
    this.zoomBy(distance(now) / (distance(before) || 1), (now[0] + other[0]) / 2 - left, (now[1] + other[1]) / 2 - top);
  }

  // Bring boxes into view, moving no further than it takes; of boxes too far apart, the last one: the step's own.
  bring(boxes) {
    if (!boxes.length) return;
    const far = (key, size, room) => (Math.max(...boxes.map(box => box[key] + box[size])) - Math.min(...boxes.map(box => box[key]))) * this.zoom + 28 > room;
    if (boxes.length > 1 && (far("x", "width", this.room[0]) || far("y", "height", this.room[1]))) return this.bring(boxes.slice(-1));
    const [width, height] = this.room, { rim } = this;
    const shift = (from, to, room) => (from < rim ? rim - from : to > room - rim ? Math.max(room - rim - to, rim - from) : 0);
    const least = key => Math.min(...boxes.map(box => box[key]));
    const most = (key, size) => Math.max(...boxes.map(box => box[key] + box[size]));
    const dx = shift(least("x") * this.zoom + this.x, most("x", "width") * this.zoom + this.x, width);
    const dy = shift(least("y") * this.zoom + this.y, most("y", "height") * this.zoom + this.y, height);
    if (dx || dy) this.glide(this.x + dx, this.y + dy);
  }

  // On paper: all of the graph, as large as the page is wide.
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

export const viewport = new Viewport(byId("graph"));
matchMedia("print").addEventListener("change", ({ matches }) => viewport.print(matches));
