// Python's random generator, so a seed gives the same weights as in the library (MT19937, Matsumoto & Nishimura 1998).

export class Random {
  constructor(seed) {
    this.state = new Uint32Array(624);
    this.state[0] = 19650218;
    for (let i = 1; i < 624; i++)
      this.state[i] = Math.imul(1812433253, this.state[i - 1] ^ (this.state[i - 1] >>> 30)) + i;
    const s = this.state;
    const mixed = i => s[i - 1] ^ (s[i - 1] >>> 30);
    let i = 1;
    const wrap = () => {
      if (++i < 624) return;
      s[0] = s[623];
      i = 1;
    };
    for (let k = 0; k < 624; k++, wrap()) s[i] = (s[i] ^ Math.imul(mixed(i), 1664525)) + seed;
    for (let k = 0; k < 623; k++, wrap()) s[i] = (s[i] ^ Math.imul(mixed(i), 1566083941)) - i;
    s[0] = 0x80000000;
    this.at = 624;
    this.kept = null;
  }

  word() {
    const s = this.state;
    if (this.at === 624) {
      for (let i = 0; i < 624; i++) {
        const y = (s[i] & 0x80000000) | (s[(i + 1) % 624] & 0x7fffffff);
        s[i] = s[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      this.at = 0;
    }
    let y = s[this.at++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  random() {
    const high = this.word() >>> 5;
    const low = this.word() >>> 6;
    return (high * 67108864 + low) / 9007199254740992;
  }

  uniform(a, b) {
    return a + (b - a) * this.random();
  }

  gauss(mean, deviation) {
    let z = this.kept;
    this.kept = null;
    if (z === null) {
      const angle = this.random() * 2 * Math.PI;
      const radius = Math.sqrt(-2 * Math.log(1 - this.random()));
      z = Math.cos(angle) * radius;
      this.kept = Math.sin(angle) * radius;
    }
    return mean + z * deviation;
  }

  below(n) {
    const bits = 32 - Math.clz32(n);
    let found = this.word() >>> (32 - bits);
    while (found >= n) found = this.word() >>> (32 - bits);
    return found;
  }

  shuffle(xs) {
    for (let i = xs.length - 1; i > 0; i--) {
      const k = this.below(i + 1);
      [xs[i], xs[k]] = [xs[k], xs[i]];
    }
    return xs;
  }
}
