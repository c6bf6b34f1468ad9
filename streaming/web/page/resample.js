// Sample-rate conversion, the same windowed sinc as streaming/audio/resample.py, whose docstring has the formulas.
// However the input is cut, the output is the same, and what a file gives here is what the command line hears.

const PASS_BAND = 0.9; // of the lower rate's Nyquist frequency; the stop band begins at 1.0
const HALF_WIDTH = 58; // samples at the lower rate
const KAISER_BETA = 0.1102 * (90 - 8.7); // 90 dB down in the stop band
const MAX_PHASES = 1024;

export class Resampler {
  constructor(rate, target) {
    Object.assign(this, { rate, target });
    this.received = 0; // input samples so far
    const common = gcd(rate, target);
    this.up = target / common;
    this.down = rate / common;
    this.half = rate === target ? 0 : Math.floor((HALF_WIDTH * Math.max(rate, target)) / target) + 1;
    this.phases = Math.min(this.up, MAX_PHASES);
    this.bank = rate === target ? null : design(rate, target, this.half, this.phases);
    this.tail = new Float32Array(Math.max(0, this.half - 1)); // silence lies in front of the first sample
  }

  // Every output that the next `samples` complete.
  push(samples) {
    const before = this.received;
    this.received += samples.length;
    if (this.rate === this.target) return samples;
    const signal = new Float32Array(this.tail.length + samples.length);
    signal.set(this.tail);
    signal.set(samples, this.tail.length);
    const first = this.produced(before);
    const output = this.filter(signal, first, this.produced(this.received) - first);
    const next = Math.floor((this.produced(this.received) * this.rate) / this.target) - this.half + 1;
    this.tail = signal.slice(signal.length - (this.received - next));
    return output;
  }

  // The outputs still due when the input ends here, as if silence followed.
  flush() {
    return this.push(new Float32Array(this.half));
  }

  // Outputs complete after `received` input samples.
  produced(received) {
    return Math.max(0, Math.ceil(((received - this.half) * this.target) / this.rate));
  }

  // `count` outputs from number `first` on, where `signal` begins with the window of that one.
  filter(signal, first, count) {
    const { up, down, half, phases, bank } = this;
    const taps = 2 * half;
    const output = new Float32Array(count);
    const origin = (first * down) % up; // in units of 1/up of an input sample
    for (let i = 0; i < count; i++) {
      const position = origin + i * down;
      const begin = Math.floor(position / up);
      const phase = position % up;
      const row = Math.floor((phase * phases) / up);
      const value = dot(signal, begin, bank, row * taps, taps);
      const weight = ((phase * phases) % up) / up; // 0 unless there are more phases than rows
      output[i] = weight ? value + weight * (dot(signal, begin, bank, (row + 1) * taps, taps) - value) : value;
    }
    return output;
  }
}

// Coefficients [phases + 1, 2 half]: row i is for outputs i/phases of a sample after the window's sample half - 1.
function design(rate, target, half, phases) {
  const width = HALF_WIDTH * Math.max(1, rate / target);
  const cutoff = ((PASS_BAND + 1) / 2) * Math.min(1, target / rate);
  const bank = new Float32Array((phases + 1) * 2 * half);
  for (let i = 0; i <= phases; i++) {
    for (let j = 0; j < 2 * half; j++) {
      const time = half - 1 + i / phases - j;
      if (Math.abs(time) >= width) continue;
      const window = bessel(KAISER_BETA * Math.sqrt(1 - (time / width) ** 2)) / bessel(KAISER_BETA);
      bank[i * 2 * half + j] = cutoff * sinc(cutoff * time) * window;
    }
  }
  return bank;
}

function dot(a, from, b, at, length) {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += a[from + i] * b[at + i];
  return sum;
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

// The modified Bessel function of the first kind of order 0, by its series.
function bessel(x) {
  let sum = 1;
  for (let k = 1, term = 1; term > 1e-17 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function gcd(a, b) {
  return b ? gcd(b, a % b) : a;
}
