// Samples to columns of a mel-like spectrogram, one every 10 ms, however the samples are cut.

export const BANDS = 80;
export const COLUMNS_PER_SECOND = 100;
const LOW = 60; // Hz
const HIGH = 8000; // Hz
const FLOOR_DB = -82; // of a band, drawn as nothing
const RANGE_DB = 62; // above it, drawn as much as can be

const mel = (hertz) => 1127 * Math.log(1 + hertz / 700);
const hertz = (mels) => 700 * (Math.exp(mels / 1127) - 1);

export class Spectrum {
  constructor(rate) {
    this.rate = rate;
    this.size = 2 ** Math.round(Math.log2(rate * 0.028)); // about 25 to 35 ms
    this.window = Float32Array.from({ length: this.size }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / this.size));
    this.cos = Float32Array.from({ length: this.size / 2 }, (_, i) => Math.cos((2 * Math.PI * i) / this.size));
    this.sin = Float32Array.from({ length: this.size / 2 }, (_, i) => Math.sin((2 * Math.PI * i) / this.size));
    this.waiting = new Float32Array(this.size); // silence before the beginning
    this.filled = this.size / 2; // the first column's middle is the first sample
    this.columns = 0;
    this.consumed = 0; // samples that have left `waiting`
    const top = Math.min(HIGH, rate / 2);
    this.edges = Array.from(
      { length: BANDS + 1 },
      (_, i) => (hertz(mel(LOW) + ((mel(top) - mel(LOW)) * i) / BANDS) * this.size) / rate,
    );
  }

  // The columns that `samples` complete, each a Uint8Array of BANDS values from 0 to 255, low frequencies first.
  push(samples) {
    const all = new Float32Array(this.filled + samples.length);
    all.set(this.waiting.subarray(0, this.filled));
    all.set(samples, this.filled);
    const found = [];
    for (;;) {
      const begin = Math.round((this.columns * this.rate) / COLUMNS_PER_SECOND) - this.consumed;
      if (begin + this.size > all.length) {
        const kept = all.subarray(begin);
        this.waiting = new Float32Array(Math.max(kept.length, this.size));
        this.waiting.set(kept);
        this.filled = kept.length;
        this.consumed += begin;
        return found;
      }
      found.push(this.column(all.subarray(begin, begin + this.size)));
      this.columns += 1;
    }
  }

  column(samples) {
    const power = this.power(samples);
    const values = new Uint8Array(BANDS);
    for (let band = 0; band < BANDS; band++) {
      const first = Math.floor(this.edges[band]);
      const last = Math.max(first + 1, Math.ceil(this.edges[band + 1]));
      let sum = 0;
      for (let bin = first; bin < last; bin++) sum += power[bin] ?? 0;
      const tilt = (18 * band) / BANDS; // speech has less of high frequencies
      const decibels = 10 * Math.log10(sum / (last - first) + 1e-12) + tilt;
      values[band] = 255 * Math.max(0, Math.min(1, (decibels - FLOOR_DB) / RANGE_DB));
    }
    return values;
  }

  // |FFT|^2 of the windowed samples, full scale 1: radix 2, in place (Cooley and Tukey 1965).
  power(samples) {
    const n = this.size;
    const re = new Float32Array(n);
    const im = new Float32Array(n);
    for (let i = 0, j = 0; i < n; i++) {
      re[j] = samples[i] * this.window[i];
      let bit = n >> 1;
      for (; j & bit; bit >>= 1) j ^= bit;
      j |= bit;
    }
    for (let half = 1; half < n; half *= 2) {
      const step = n / (2 * half);
      for (let start = 0; start < n; start += 2 * half) {
        for (let k = 0; k < half; k++) {
          const c = this.cos[k * step];
          const s = this.sin[k * step];
          const a = start + k;
          const b = a + half;
          const x = re[b] * c + im[b] * s;
          const y = im[b] * c - re[b] * s;
          re[b] = re[a] - x;
          im[b] = im[a] - y;
          re[a] += x;
          im[a] += y;
        }
      }
    }
    return Float32Array.from({ length: n / 2 }, (_, i) => (re[i] ** 2 + im[i] ** 2) / (n / 4) ** 2);
  }
}
