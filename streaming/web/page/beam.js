// Rows of log-probabilities to phonemes with times by beam search with a phone language model: the rule of
// streaming/decoding/search.py, and of decoder.py for what is final when. Numbers in comments are that rule's.

import { logAdd, totalOf } from "./numbers.js";
import { Tiling } from "./tiling.js";

const IMPOSSIBLE = -1e30; // log-probability
const MAX_CONFIDENCE = 65535; // for a posterior of 1
const MOST_ROWS = 255; // of a phone

export class BeamDecoder {
  // `metadata` is the model's own, `settings` those of `BeamDecoder.browser_settings`, `lm` what `readPhoneLM` gave.
  constructor(metadata, settings, lm) {
    const { phones, blank } = metadata;
    Object.assign(this, { lm, settings, blank });
    this.symbols = [...phones.slice(0, blank), "", ...phones.slice(blank)];
    this.tiling = new Tiling(metadata);
    this.temperature = metadata.temperature;
    this.columnOf = new Int32Array(lm.end + 1).fill(blank); // of each symbol of the language model
    this.symbolsOf = this.symbols.map(() => []); // of each column, the one within a word first
    lm.phones.forEach((phone, place) => {
      const column = this.symbols.indexOf(phone);
      if (column < 0 || column === blank) return;
      for (let symbol = place + 1; symbol < lm.end; symbol += lm.phones.length) {
        this.columnOf[symbol] = column;
        this.symbolsOf[column].push(symbol);
      }
    });
    if (this.symbolsOf.some((known, column) => column !== blank && !known.length)) {
      throw new Error("The language model is of other phonemes than the model.");
    }
    this.row = 0; // the next row's index
    this.beam = this.empty();
  }

  // The beam before an utterance: the prefix of no phones.
  empty() {
    const { start } = this.lm;
    return [{ blank: 0, phone: IMPOSSIBLE, context: start, last: 0, identity: identified(null, 0), parent: null, history: [] }];
  }

  // The phonemes that become final with `rows`, a Float32Array of whole rows, next after those seen before.
  decode(rows) {
    const columns = this.symbols.length;
    const phones = [];
    for (let first = 0; first < rows.length; first += columns) {
      this.step(rows.subarray(first, first + columns));
      this.row += 1;
      const full = this.beam.some(({ history }) => history.length === this.settings.depth);
      if (this.row % this.settings.review !== 0 && !full) continue;
      phones.push(...this.tiling.add(this.settle().map((heard) => this.spike(heard))));
      if (this.tiling.held?.spike.start < this.late()) phones.push(...this.release());
    }
    return phones;
  }

  // The phonemes that the end of the stream, at `seconds`, makes final: those of the best hypothesis.
  finish(seconds) {
    const groups = new Map(); // prefixes that differ only in where words begin
    for (const prefix of this.beam) {
      prefix.total = totalOf(prefix) + this.settings.lm_weight * this.lm.row(prefix.context).scores[this.lm.end];
    }
    for (const prefix of [...this.beam].sort((a, b) => b.total - a.total)) {
      const key = prefix.history.map(({ symbol }) => this.columnOf[symbol]).join();
      const known = groups.get(key);
      if (known) known.total = logAdd(known.total, prefix.total);
      else groups.set(key, { total: prefix.total, history: prefix.history });
    }
    const best = [...groups.values()].reduce((a, b) => (b.total > a.total ? b : a));
    this.beam = [];
    return this.tiling.finished(best.history.map((heard) => this.spike(heard)), seconds);
  }

  // `decode` of the next row, with which it is known that an utterance ends before row `end`, this row or the one behind:
  // the phonemes up to there, and those behind. The search begins anew.
  decodeEnd(row, end) {
    const within = end > this.row;
    const { tiling } = this;
    const phones = within ? this.decode(row) : [];
    phones.push(...this.finish(tiling.seconds(end)));
    Object.assign(tiling, { until: phones.at(-1)?.end ?? tiling.until, floor: tiling.seconds(end), held: null });
    this.beam = this.empty();
    return [phones, within ? [] : this.decode(row)];
  }

  // The best guess so far at what follows the phonemes that were given.
  tentative() {
    if (!this.beam.length) return [];
    const spikes = this.best().history.map((heard) => this.spike(heard));
    return this.tiling.finished(spikes, this.tiling.seconds(this.row));
  }

  step(row) {
    const { acoustic_scale: scale, blank_score: blankScore, cut, skip } = this.settings;
    const y = Float64Array.from(row, (value) => scale * value);
    let highest = -Infinity;
    for (const value of y) if (value > highest) highest = value;
    const before = this.beam;
    for (const prefix of before) {
      prefix.total = totalOf(prefix);
      prefix.nextBlank = prefix.total + (y[this.blank] + blankScore);
      prefix.nextPhone = prefix.phone + y[this.columnOf[prefix.last]];
    }
    if (y[this.blank] > skip) { // 1
      for (const prefix of before) [prefix.blank, prefix.phone] = [prefix.nextBlank, prefix.nextPhone];
      return;
    }
    const symbols = []; // 2
    for (let column = 0; column < y.length; column++) {
      if (column !== this.blank && y[column] > highest - cut) symbols.push(...this.symbolsOf[column]);
    }
    const confidence = confidences(row, this.temperature);
    for (const prefix of before) {
      prefix.nextHistory = prefix.history;
      if (prefix.nextPhone > prefix.nextBlank && prefix.history.length) {
        prefix.nextHistory = prolonged(prefix.history, this.row, confidence[this.columnOf[prefix.last]]);
      }
    }
    if (symbols.length) return this.select(before, this.extend(before, symbols, y, confidence), confidence);
    for (const prefix of before) {
      [prefix.blank, prefix.phone, prefix.history] = [prefix.nextBlank, prefix.nextPhone, prefix.nextHistory];
    }
  }

  // Scores of prefixes with one more symbol, those that are in the beam already being added to it (3).
  extend(before, symbols, y, confidence) {
    const children = new Map(); // of a prefix in the beam, those that are in it too
    for (const prefix of before) {
      if (!children.has(prefix.parent)) children.set(prefix.parent, []);
      children.get(prefix.parent).push(prefix);
    }
    const extended = [];
    before.forEach((prefix) => {
      const { scores } = this.lm.row(prefix.context);
      const column = this.columnOf[prefix.last];
      const own = children.get(prefix.identity) ?? [];
      for (const symbol of symbols) {
        const place = this.columnOf[symbol];
        const from = place === column ? prefix.blank : prefix.total;
        const total = from + (y[place] + this.settings.lm_weight * scores[symbol]);
        const child = own.find(({ last }) => last === symbol);
        if (!child) {
          extended.push({ total, prefix, symbol });
          continue;
        }
        if (total > Math.max(child.nextBlank, child.nextPhone)) {
          child.nextHistory = [...prefix.history.slice(0, child.history.length - 1), this.heard(symbol, confidence)];
        }
        child.nextPhone = logAdd(child.nextPhone, total);
      }
    });
    return extended;
  }

  // The best prefixes (4) take the beam's place.
  select(before, extended, confidence) {
    const { size, threshold } = this.settings;
    let best = -Infinity;
    for (const prefix of before) {
      prefix.total = logAdd(prefix.nextBlank, prefix.nextPhone);
      if (prefix.total > best) best = prefix.total;
    }
    for (const { total } of extended) if (total > best) best = total;
    const every = [...before, ...extended];
    let chosen = [];
    every.forEach(({ total }, place) => total > best - threshold && chosen.push(place));
    if (chosen.length > size) {
      chosen.sort((a, b) => every[b].total - every[a].total || a - b); // of equals the first
      chosen = chosen.slice(0, size).sort((a, b) => a - b);
    }
    this.beam = chosen.map((place) => {
      const one = every[place];
      if (place < before.length) {
        const { context, last, identity, parent } = one;
        const [blank, phone] = [one.nextBlank - best, one.nextPhone - best];
        return { blank, phone, context, last, identity, parent, history: one.nextHistory };
      }
      const { total, prefix, symbol } = one;
      return {
        blank: IMPOSSIBLE,
        phone: total - best,
        context: this.lm.row(prefix.context).nexts[symbol],
        last: symbol,
        identity: identified(prefix.identity, symbol),
        parent: prefix.identity,
        history: [...prefix.history, this.heard(symbol, confidence)],
      };
    });
  }

  // Takes what is final off the beam: decoder.py's `_settle`.
  settle() {
    const { depth } = this.settings;
    const mine = this.best().history;
    const late = this.late();
    const full = this.beam.some(({ history }) => history.length === depth);
    let count = Math.max(this.agreed(mine), mine.filter(({ start }) => start < late).length);
    if (full) count = Math.max(count, Math.min(1, mine.length));
    const final = mine.slice(0, count).map((heard) => ({ ...heard }));
    const follows = ({ history }) => (history.length > count ? history[count].start : this.row);
    let fits = this.beam.filter(({ history }) => final.every(({ symbol }, place) => history[place]?.symbol === symbol));
    let least = late;
    if (count) {
      const last = final[count - 1];
      const next = fits.reduce((first, prefix) => Math.min(first, follows(prefix)), Infinity);
      const end = Math.max(last.start + 1, Math.min(last.start + last.rows, next));
      last.rows = Math.min(end - last.start, MOST_ROWS);
      least = Math.max(late, end);
    }
    fits = fits.filter((prefix) => follows(prefix) >= least);
    if (!count) fits = fits.filter(({ history }) => history.length !== depth);
    this.beam = count ? fits.map((prefix) => ({ ...prefix, history: prefix.history.slice(count) })) : fits;
    return final;
  }

  // A phoneme that began before this row would be late at the next review.
  late() {
    return this.row + this.settings.review - 1 - this.settings.delay;
  }

  // The phoneme that is held, what follows it being the best prefix's first.
  release() {
    const [first] = this.best().history;
    const peaks = this.beam.filter(({ history }) => history.length).map(({ history }) => this.spike(history[0]));
    const bound = Math.min(this.tiling.seconds(this.row), ...peaks.map((spike) => this.tiling.middle(spike)));
    return this.tiling.release(first ? this.spike(first) : null, bound);
  }

  // Of the best prefix's phones, how many all prefixes share and it has left behind.
  agreed(mine) {
    const least = this.beam.reduce((count, { history }) => Math.min(count, history.length), Infinity);
    for (let place = 0; place < least; place++) {
      const { symbol, start, rows } = mine[place];
      const shared = this.beam.every(({ history }) => history[place].symbol === symbol);
      if (!shared || start + rows >= this.row) return place;
    }
    return least;
  }

  best() {
    let [best, highest] = [this.beam[0], -Infinity];
    for (const prefix of this.beam) {
      const total = totalOf(prefix);
      if (total > highest) [best, highest] = [prefix, total];
    }
    return best;
  }

  heard(symbol, confidence) {
    return { start: this.row, rows: 1, symbol, confidence: confidence[this.columnOf[symbol]] };
  }

  spike({ symbol, start, rows, confidence }) {
    const phone = { symbol: this.symbols[this.columnOf[symbol]], confidence: confidence / MAX_CONFIDENCE };
    if (this.lm.wordMarks) phone.word_start = symbol > this.lm.phones.length;
    return { start, end: start + rows, phone };
  }
}

// A hash of all symbols of a prefix, given that of the prefix without the last: 53 bits, in a number.
function identified(before, symbol) {
  if (before === null) return 12345;
  const [high, low] = [Math.floor(before / 2 ** 26), before % 2 ** 26];
  let [a, b] = [high ^ Math.imul(symbol + 1, 0x9e3779b1), low ^ Math.imul(symbol + 1, 0x85ebca6b)];
  a = Math.imul(a ^ (a >>> 15), 0x2c1b3c6d) + b;
  b = Math.imul(b ^ (b >>> 13), 0x297a2d39) + a;
  a = Math.imul(a ^ (a >>> 12), 0x7feb352d);
  b = Math.imul(b ^ (b >>> 16), 0x846ca68b);
  return ((a ^ (b >>> 7)) >>> 5) * 2 ** 26 + ((b ^ (a >>> 9)) >>> 6);
}

// A history in which `row` belongs to its last phone.
function prolonged(history, row, confidence) {
  const last = history[history.length - 1];
  const rows = Math.min(row + 1 - last.start, MOST_ROWS);
  return [...history.slice(0, -1), { ...last, rows, confidence: Math.max(last.confidence, confidence) }];
}

// softmax(y / temperature), in steps of 1 / 65535.
function confidences(y, temperature) {
  const scaled = Float64Array.from(y, (value) => value / temperature);
  const highest = scaled.reduce((a, b) => Math.max(a, b));
  const weights = scaled.map((value) => Math.exp(value - highest));
  const sum = weights.reduce((a, b) => a + b);
  return weights.map((weight) => Math.round((weight / sum) * MAX_CONFIDENCE));
}
