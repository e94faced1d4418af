// The window on the graph: dragged, zoomed with the wheel, the keys or two fingers, and moved to where something happens.

const ZOOM = { least: 0.15, most: 2.5, first: 1.35, legible: 0.56 };

class Viewport {
  constructor(frame) {
    this.frame = frame;
    this.scene = svg("g");
    this.root = svg("svg", { role: "group" }, this.scene);
    frame.replaceChildren(this.root);
    Object.assign(this, { x: 0, y: 0, zoom: 1, size: [1, 1], boxes: [], touched: false, pointers: new Map() });
    frame.addEventListener("wheel", event => this.wheel(event), { passive: false });
    frame.addEventListener("pointerdown", event => this.down(event));
    for (const name of ["pointermove", "pointerup", "pointercancel"]) addEventListener(name, event => this.move(event));
    new ResizeObserver(() => this.touched || this.fit()).observe(frame);
  }

  show(group, { size, boxes }) {
    this.scene.replaceChildren(group);
    Object.assign(this, { size, boxes });
  }

  get room() {
    return [this.frame.clientWidth, this.frame.clientHeight];
  }

  // All of it, if that can be read; else its beginning, at the height where the boxes there stand.
  fit() {
    const [width, height] = this.room, rim = 20, [w, h] = this.size;
    if (!width || !height) return;
    const whole = Math.min((width - 2 * rim) / w, (height - 2 * rim) / h, ZOOM.first);
    const zoom = Math.max(whole, ZOOM.legible);
    const place = (room, size) => (size * zoom + 2 * rim <= room ? (room - size * zoom) / 2 : rim);
    const first = this.boxes.filter(box => box.x * zoom + rim < width), middles = first.map(box => box.y + box.height / 2);
    const mean = middles.reduce((total, y) => total + y, 0) / middles.length;
    const y = h * zoom + 2 * rim <= height ? place(height, h) : Math.min(rim, Math.max(height - rim - h * zoom, height / 2 - mean * zoom));
    this.to(place(width, w), y, zoom);
    this.touched = false;
  }

  to(x, y, zoom = this.zoom) {
    cancelAnimationFrame(this.frameRequest);
    Object.assign(this, { x, y, zoom });
    this.scene.setAttribute("transform", `translate(${x},${y}) scale(${zoom})`);
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

  // Bring boxes into view, moving no further than it takes; what does not fit is seen from its beginning.
  bring(boxes) {
    if (!boxes.length) return;
    const [width, height] = this.room, rim = 14;
    const shift = (from, to, room) => (from < rim ? rim - from : to > room - rim ? Math.max(room - rim - to, rim - from) : 0);
    const least = key => Math.min(...boxes.map(box => box[key]));
    const most = (key, size) => Math.max(...boxes.map(box => box[key] + box[size]));
    const dx = shift(least("x") * this.zoom + this.x, most("x", "width") * this.zoom + this.x, width);
    const dy = shift(least("y") * this.zoom + this.y, most("y", "height") * this.zoom + this.y, height);
    if (dx || dy) this.glide(this.x + dx, this.y + dy);
  }
}
