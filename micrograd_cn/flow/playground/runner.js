// Run the training of a room, frame by frame.

export class Runner {
  // `holder.running` is the request for the next frame while training runs, or else null. `speed` returns the steps per
  // second, or "full". Then `full` is called in each frame, and decides how much is done in it; otherwise `step` is
  // called now and then. `showFrame` is called after what was done, with the time.
  constructor(holder, { speed, step, full, showFrame }) {
    this.holder = holder;
    this.speed = speed;
    this.step = step;
    this.full = full;
    this.showFrame = showFrame;
    this.stepped = 0;
  }

  run() {
    if (!this.holder.running) this.request();
  }

  stop() {
    if (this.holder.running) cancelAnimationFrame(this.holder.running);
    this.holder.running = null;
  }

  request() {
    this.holder.running = requestAnimationFrame(now => this.tick(now));
  }

  tick(now) {
    this.request();
    const speed = this.speed();
    const wait = 1000 / Number(speed);
    if (speed === "full") this.full(performance.now());
    else {
      if (now - this.stepped < wait) return;
      this.stepped = Math.max(this.stepped + wait, now - wait);
      this.step();
    }
    this.showFrame(now, speed);
  }
}
