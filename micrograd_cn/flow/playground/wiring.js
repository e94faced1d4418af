// The network: a small map of the plane for each neuron, and its weights or their gradients as lines between them.

const LEAST_INPUT = 32; // pixels, for its name

class Wiring {
  // `open(layer, neuron)` is called when a neuron is chosen.
  constructor(frame, open) {
    Object.assign(this, { frame, open, canvas: frame.querySelector("canvas"), units: [] });
    new ResizeObserver(() => this.trainer && this.arrange()).observe(frame);
  }

  show(trainer, names) {
    this.trainer = trainer;
    this.units.flat().forEach(unit => unit.remove());
    this.fields = trainer.network.layers.map(({ nout }) => Array.from({ length: nout }, () => new Field()));
    const inputs = names.map(name => html("span", { class: "unit input" }, name));
    this.units = [inputs, ...this.fields.map((layer, l) => layer.map((field, j) => {
      const unit = html("button", { class: "unit", type: "button" }, field.canvas);
      unit.addEventListener("click", () => this.open(l, j));
      return unit;
    }))];
    this.frame.append(...this.units.flat());
    this.arrange();
  }

  arrange() {
    const { clientWidth: width, clientHeight: height } = this.frame, columns = this.units.length;
    const most = Math.max(...this.units.map(layer => layer.length));
    const size = Math.max(16, Math.min(72, (height - 24) / most - 8, width / columns / 1.7));
    this.size = size;
    this.places = this.units.map((layer, l) => layer.map((unit, j) => {
      const x = 24 + size / 2 + ((width - 48 - size) * l) / (columns - 1), room = Math.min(Math.max(size, LEAST_INPUT) * 1.5, (height - 16) / layer.length);
      const y = height / 2 + (j - (layer.length - 1) / 2) * room;
      const own = l ? size : Math.max(size, LEAST_INPUT);
      Object.assign(unit.style, { left: `${x}px`, top: `${y}px`, width: `${own}px`, height: `${own}px`, lineHeight: `${own - 4}px`, textAlign: "center" });
      return [x, y];
    }));
    this.draw();
  }

  // Lines blue and orange by sign, wide by size: of weights as they are, of gradients beside the largest one.
  draw(gradients = this.gradients) {
    this.gradients = gradients;
    const { context, width, height } = fitted(this.canvas), { layers, data, grad } = this.trainer.network;
    context.clearRect(0, 0, width, height);
    const numbers = gradients ? grad : data, largest = gradients ? Math.max(1e-12, ...grad.map(Math.abs)) : 2.5, half = this.size / 2, widest = Math.min(7, 0.22 * this.size);
    context.lineCap = "round";
    layers.forEach(({ nin, nout, first }, l) => {
      for (let j = 0; j < nout; j++) {
        for (let i = 0; i < nin; i++) {
          const x = numbers[first + j * (nin + 1) + i], [x0, y0] = this.places[l][i], [x1, y1] = this.places[l + 1][j];
          const size = Math.min(1, Math.abs(x) / largest) || 0;
          if (size < 0.004) continue;
          context.globalAlpha = 0.35 + 0.65 * size;
          context.lineWidth = 0.6 + widest * size;
          context.strokeStyle = x > 0 ? colours.plus : colours.minus;
          context.beginPath();
          context.moveTo(x0 + half, y0);
          context.bezierCurveTo((x0 + x1) / 2, y0, (x0 + x1) / 2, y1, x1 - half, y1);
          context.stroke();
        }
      }
    });
    context.globalAlpha = 1;
  }

  // Mark the neurons through which no sample's gradient goes.
  mark(dead, words) {
    this.units.slice(1).forEach((layer, l) => layer.forEach((unit, j) => {
      unit.classList.toggle("dead", dead[l][j]);
      const told = filled(words.part_of, { inner: filled(words.part_neuron, { number: j }), outer: filled(words.part_layer, { number: l }) });
      const text = dead[l][j] ? `${told}: ${words.dead}` : told;
      if (unit.title === text) return;
      unit.title = text;
      unit.setAttribute("aria-label", text);
    }));
  }
}

// Whether a neuron's activation has derivative 0 at every sample.
function deadNeurons({ network, points }) {
  const dead = network.layers.map(({ nout, last }) => Array(nout).fill(!last && points.length > 0));
  for (const { inputs } of points) {
    network.forward(inputs);
    network.layers.forEach(({ out, sums, last }, l) => {
      for (let j = 0; !last && j < out.length; j++) dead[l][j] &&= Math.abs(network.slope(out[j], sums[j])) < 1e-9;
    });
  }
  return dead;
}
