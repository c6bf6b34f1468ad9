// Viterbi's algorithm for all keywords at once, beginning anew at every row: the rule of streaming/spotting/search.py.
// Where Python has a path's score and its first row in one integer, here they are in two arrays: the higher score wins,
// of equals the earlier row. Scores are whole units, so that sums are the same.

import { rounded } from "./numbers.js";

const NEVER = -(2 ** 28);
const BARRED = -(2 ** 18);
const REVIEW = 64; // rows after which hopeless paths are forgotten: sums never run over

export class KeywordSearch {
  // `variants` are pronunciations as columns, `owners` the keyword of each, ascending; `lowest` has for each keyword the
  // score below which nothing is a peak. `settings` are those of the exported page.
  constructor(variants, owners, lowest, { blank, columns, rowSeconds }, settings) {
    Object.assign(this, { variants, owners, lowest, blank, columns });
    const { window_seconds, units, dwell, sure, steepest } = settings;
    this.window = Math.max(1, Math.round(window_seconds / rowSeconds));
    Object.assign(this, { units, steepest, dwell: Math.round(dwell * units), sure: Math.round(sure * units) });
    const cells = variants.reduce((sum, phones) => sum + phones.length + 1, 0);
    this.column = new Int32Array(cells).fill(blank); // cells of entry have the blank's
    this.least = new Int32Array(cells); // units below which a path is forgotten
    this.entry = [];
    this.last = [];
    this.scale = variants.map((phones) => 1 / (units * Math.max(phones.length - 2, 1)));
    let cell = 0;
    variants.forEach((phones, variant) => {
      this.entry.push(cell);
      phones.forEach((column, place) => (this.column[cell + 1 + place] = column));
      const least = Math.ceil(lowest[owners[variant]] / this.scale[variant]); // above 0 nothing is
      this.least.fill(least > 0 ? 1 : least, cell, (cell += phones.length + 1));
      this.last.push(cell - 1);
    });
    [this.phone, this.phoneRow] = [new Int32Array(cells).fill(NEVER), new Int32Array(cells)];
    [this.after, this.afterRow] = [new Int32Array(cells).fill(NEVER), new Int32Array(cells)];
    [this.best, this.bestRow] = [new Int32Array(cells), new Int32Array(cells)];
    this.row = 0;
    this.pending = new Map(); // by keyword the best peak so far, not certain yet
    this.told = new Map(); // by keyword the last peak that is certain
  }

  // Takes over what `before`, a search of other keywords, knows of those that are in both: `kept` are pairs of a keyword
  // here and there, whose pronunciations are the same. It goes on at the row of the other.
  takeOver(before, kept) {
    this.row = before.row;
    const cells = ({ owners, entry, last }, keyword) => {
      const [first, end] = [owners.indexOf(keyword), owners.lastIndexOf(keyword)];
      return { first, begin: entry[first], end: last[end] + 1 };
    };
    for (const [here, there] of kept) {
      const [own, other] = [cells(this, here), cells(before, there)];
      for (const name of ["phone", "phoneRow", "after", "afterRow"]) {
        this[name].set(before[name].subarray(other.begin, other.end), own.begin);
      }
      for (const name of ["pending", "told"]) {
        const peak = before[name].get(there);
        if (peak) this[name].set(here, { ...peak, keyword: here, variant: peak.variant + own.first - other.first });
      }
    }
  }

  // The peaks { keyword, variant, start, end, score } that the next row, a Float32Array, makes certain; in order.
  decode(y) {
    const emission = this.quantised(y);
    const silent = emission[this.blank] - this.dwell;
    let highest = NEVER;
    for (let column = 0; column < emission.length; column++) {
      if (column !== this.blank && emission[column] > highest) highest = emission[column];
    }
    if (highest <= -this.sure) this.rest(silent);
    else this.step(emission, silent);
    const settled = [...this.pending.values()].filter(({ end }) => this.row - end >= this.window);
    settled.sort((a, b) => a.keyword - b.keyword);
    for (const peak of settled) {
      this.told.set(peak.keyword, peak);
      this.pending.delete(peak.keyword);
    }
    this.row += 1;
    if (this.row % REVIEW === 0) this.forget();
    return settled;
  }

  // The peaks that the end of the stream makes certain.
  finish() {
    return [...this.pending.values()].sort((a, b) => a.end - b.end || a.keyword - b.keyword);
  }

  // A row divided by its maximum, in units: single precision, as numpy has it.
  quantised(y) {
    let highest = -Infinity;
    for (const value of y) if (value > highest) highest = value;
    return Int32Array.from(y, (value) => rounded(Math.max(Math.fround(value - highest), this.steepest) * this.units));
  }

  // A row that is surely a blank: all paths are in one.
  rest(silent) {
    this.leave(silent);
    this.phone.fill(NEVER);
  }

  // Into the blank behind each phone, for the better of its paths.
  leave(silent) {
    const { phone, phoneRow, after, afterRow } = this;
    for (let cell = 0; cell < phone.length; cell++) {
      if (better(phone[cell], phoneRow[cell], after[cell], afterRow[cell])) {
        [after[cell], afterRow[cell]] = [phone[cell], phoneRow[cell]];
      }
      after[cell] += silent;
    }
  }

  step(emission, silent) {
    const { phone, phoneRow, after, afterRow, best, bestRow, column, row } = this;
    for (const cell of this.entry) [after[cell], afterRow[cell]] = [0, row]; // at no cost, in any row
    for (let cell = 1; cell < phone.length; cell++) {
      let [value, first] = [phone[cell - 1], phoneRow[cell - 1]];
      if (column[cell] === column[cell - 1]) value += BARRED; // an equal phone follows only behind a blank
      if (better(after[cell - 1], afterRow[cell - 1], value, first)) {
        [value, first] = [after[cell - 1], afterRow[cell - 1]];
      }
      if (better(phone[cell], phoneRow[cell], value, first)) [value, first] = [phone[cell], phoneRow[cell]];
      best[cell] = value + emission[column[cell]];
      bestRow[cell] = first;
    }
    for (const cell of this.entry) best[cell] = NEVER;
    this.leave(silent);
    [this.phone, this.phoneRow, this.best, this.bestRow] = [best, bestRow, phone, phoneRow];
    if (this.last.some((cell) => best[cell] >= this.least[cell])) this.note();
  }

  // Keeps what is better than what there was of its keyword, unless it is the occurrence of its last peak.
  note() {
    const { owners, row } = this;
    for (let variant = 0; variant < owners.length; ) {
      const keyword = owners[variant];
      let [score, chosen] = [-Infinity, variant];
      for (; owners[variant] === keyword; variant++) {
        const own = this.phone[this.last[variant]] * this.scale[variant];
        if (own > score) [score, chosen] = [own, variant];
      }
      if (score < this.lowest[keyword] || score <= (this.pending.get(keyword)?.score ?? -Infinity)) continue;
      const start = this.phoneRow[this.last[chosen]];
      const told = this.told.get(keyword);
      if (told && start <= told.end && score <= told.score) continue;
      this.pending.set(keyword, { keyword, variant: chosen, start, end: row, score });
    }
  }

  forget() {
    for (let cell = 0; cell < this.phone.length; cell++) {
      if (this.phone[cell] < this.least[cell]) this.phone[cell] = NEVER;
      if (this.after[cell] < this.least[cell]) this.after[cell] = NEVER;
    }
  }
}

function better(value, first, other, otherFirst) {
  return value > other || (value === other && first < otherFirst);
}
