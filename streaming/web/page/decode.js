// Rows of log-probabilities to phonemes with times: greedy CTC decoding, as streaming/decode.py has it.

import { Tiling } from "./tiling.js";

export class Decoder {
  // `metadata` is the model's own, as `phonestream export` wrote it.
  constructor(metadata) {
    const { phones, blank } = metadata;
    this.symbols = [...phones.slice(0, blank), "", ...phones.slice(blank)];
    this.blank = blank;
    this.tiling = new Tiling(metadata);
    this.temperature = metadata.temperature;
    this.row = 0; // the next row's index
    this.run = null; // equal rows that are one phoneme, still going on: { column, start, confidence }
  }

  // The phonemes that end within `rows`, a Float32Array of whole rows, next after those seen before.
  decode(rows) {
    const columns = this.symbols.length;
    const phones = [];
    for (let first = 0; first < rows.length; first += columns) {
      const row = rows.subarray(first, first + columns);
      const column = best(row);
      const confidence = this.posterior(row);
      if (this.run?.column === column) {
        this.run.confidence = Math.max(this.run.confidence, confidence);
      } else {
        phones.push(...this.tiling.add(this.spikes()));
        this.run = null;
        if (column !== this.blank) this.run = { column, start: this.row, confidence };
      }
      this.row += 1;
      if (this.tiling.certain(this.row)) {
        const [following = null] = this.spikes();
        phones.push(...this.tiling.release(following, this.tiling.seconds(this.row)));
      }
    }
    return phones;
  }

  // `decode` of the next row, with which it is known that an utterance ends before row `end`: the phonemes up to there,
  // and those behind. A run that goes on is the next utterance's.
  decodeEnd(row, end) {
    return [[...this.decode(row), ...this.tiling.finish(this.tiling.seconds(end))], []];
  }

  // The last phonemes of a stream that ends at `seconds`.
  finish(seconds) {
    const phones = this.tiling.finished(this.spikes(), seconds);
    this.run = this.tiling.held = null;
    return phones;
  }

  // The phonemes that have no end yet.
  tentative() {
    return this.tiling.finished(this.spikes(), this.tiling.seconds(this.row));
  }

  // The run that goes on, if any, as a spike up to here.
  spikes() {
    if (!this.run) return [];
    const { column, start, confidence } = this.run;
    return [{ start, end: this.row, phone: { symbol: this.symbols[column], confidence } }];
  }

  // Of the most probable column: the highest of softmax(row / temperature).
  posterior(row) {
    const scaled = Array.from(row, (value) => value / this.temperature);
    const highest = Math.max(...scaled);
    return 1 / scaled.reduce((sum, value) => sum + Math.exp(value - highest), 0);
  }
}

// The most probable column, the lowest index on ties.
export function best(row) {
  let column = 0;
  for (let i = 1; i < row.length; i++) if (row[i] > row[column]) column = i;
  return column;
}
