// Rows of log-probabilities to phonemes with times: greedy CTC decoding, as streaming/decode.py has it.

export class Decoder {
  // `metadata` is the model's own, as `phonestream export` wrote it.
  constructor(metadata) {
    const { phones, blank, frame_samples, rows_per_frame, sample_rate } = metadata;
    this.symbols = [...phones.slice(0, blank), "", ...phones.slice(blank)];
    this.blank = blank;
    this.rowSeconds = frame_samples / rows_per_frame / sample_rate;
    this.offset = metadata.time_offset_seconds;
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
        phones.push(...this.finish());
        if (column !== this.blank) this.run = { column, start: this.row, confidence };
      }
      this.row += 1;
    }
    return phones;
  }

  // The phoneme whose run ends here, if any: at the end of the stream, or where another row comes.
  finish() {
    if (!this.run) return [];
    const { column, start, confidence } = this.run;
    this.run = null;
    const end = this.seconds(this.row);
    return [{ symbol: this.symbols[column], start: this.seconds(start), end, confidence }];
  }

  // Nothing is said before it is certain.
  tentative() {
    return [];
  }

  // Of the most probable column: the highest of softmax(row / temperature).
  posterior(row) {
    const scaled = Array.from(row, (value) => value / this.temperature);
    const highest = Math.max(...scaled);
    return 1 / scaled.reduce((sum, value) => sum + Math.exp(value - highest), 0);
  }

  // Where a row begins on the audio clock.
  seconds(row) {
    return Math.max(0, row * this.rowSeconds - this.offset);
  }
}

// The most probable column, the lowest index on ties.
function best(row) {
  let column = 0;
  for (let i = 1; i < row.length; i++) if (row[i] > row[column]) column = i;
  return column;
}
