// Keywords in rows of log-probabilities, each with a score on one scale: the rules of streaming/spotting/spotter.py,
// boundary.py and calibration.py, whose constants come with the exported page.

import { KeywordSearch } from "./keyword_search.js";

export class Spotter {
  // `keywords` are { phrase, variants: [{ phones, starts }], threshold }, in phones that the model has; `decoder` the
  // stream's own, which knows its symbols and times; `lm` what `readPhoneLM` gave; `settings` those of the exported page.
  constructor(decoder, settings, lm, keywords) {
    Object.assign(this, { decoder, settings, lm, keywords });
    this.symbol = new Map(lm.phones.map((phone, place) => [phone, place + 1])); // of the language model, within a word
    this.variants = keywords.flatMap(({ variants }) => variants);
    const owners = keywords.flatMap(({ variants }, keyword) => variants.map(() => keyword));
    const columns = this.variants.map(({ phones }) => phones.map((phone) => decoder.symbols.indexOf(phone)));
    const lowest = keywords.map(({ variants, threshold }) =>
      Math.min(...variants.map(({ phones }) => this.leastFit(threshold, phones.length))),
    );
    const { blank, symbols } = decoder;
    const { rowSeconds } = decoder.tiling;
    this.search = new KeywordSearch(columns, owners, lowest, { blank, columns: symbols.length, rowSeconds }, settings);
    this.pause = Math.round(settings.pause_seconds / rowSeconds);
    this.label = blank; // the last row's most probable column
    this.heard = []; // of the best path's last phones: first row and symbol of the language model
  }

  // Goes on from the spotter `before` of the same stream, if there is one, at `row`: keywords of both as if nothing had
  // changed, new ones with nothing before that row.
  begin(before, row) {
    this.search.row = row;
    if (!before) return this;
    const places = new Map(before.keywords.map(({ phrase }, place) => [phrase, place]));
    const same = (one, other) => JSON.stringify(one.variants) === JSON.stringify(other.variants);
    const kept = this.keywords.map((word, here) => [here, places.get(word.phrase)]);
    this.search.takeOver(
      before.search,
      kept.filter(([here, there]) => there !== undefined && same(this.keywords[here], before.keywords[there])),
    );
    [this.label, this.heard] = [before.label, before.heard];
    return this;
  }

  // What the next row, a Float32Array, makes certain: { event: "spotted", phrase, start, end, score, word_boundary }.
  decode(row) {
    let label = 0;
    for (let column = 1; column < row.length; column++) if (row[column] > row[label]) label = column;
    if (label !== this.label && label !== this.decoder.blank) {
      this.heard.push({ row: this.search.row, symbol: this.symbol.get(this.decoder.symbols[label]) });
      const old = this.heard.findIndex(({ row }) => row >= this.search.row - this.search.window);
      if (old > 2 * this.settings.kept_phones) this.heard.splice(0, old - this.settings.kept_phones);
    }
    this.label = label;
    return this.search.decode(row).flatMap((peak) => this.judged(peak));
  }

  // What the end of the stream makes certain.
  finish() {
    return this.search.finish().flatMap((peak) => this.judged(peak));
  }

  // A peak's event, if its score is the threshold at least.
  judged(peak) {
    const { phrase, threshold } = this.keywords[peak.keyword];
    const variant = this.variants[peak.variant];
    const boundary = this.boundary(variant, this.around(peak));
    const score = this.score(peak.score, variant.phones.length, boundary);
    if (score < threshold) return [];
    const { tiling } = this.decoder;
    const [start, end] = [tiling.seconds(peak.start), tiling.seconds(peak.end + 1)];
    return [{ event: "spotted", phrase, start, end, score, word_boundary: boundary >= this.settings.likely }];
  }

  // What was heard beside a peak, up to the row that made it certain.
  around({ start, end }) {
    const { heard, pause, settings } = this;
    const first = (row) => heard.findLastIndex((phone) => phone.row < row) + 1; // of the phones from `row` on
    const begin = first(start);
    const left = heard.slice(Math.max(0, begin - settings.left), begin);
    const right = heard.slice(first(end + 1), Math.min(first(end + this.search.window + 1), first(end + 1) + settings.right));
    return {
      left: left.map(({ symbol }) => symbol),
      right: right.map(({ symbol }) => symbol),
      pauseBefore: left.length > 0 && start - left.at(-1).row > pause,
      pauseAfter: right.length > 0 && right[0].row - end > pause,
    };
  }

  // The log-probability that a keyword stands as words of its own.
  boundary({ phones, starts }, { left, right, pauseBefore, pauseAfter }) {
    const own = phones.map((phone) => this.symbol.get(phone));
    const before = this.walk(new Map([[0, 0]]), left.map((symbol) => [symbol, null]));
    let anything = this.walk(before, own.map((symbol, place) => [symbol, place === 0 && pauseBefore ? true : null]));
    let words = this.walk(before, own.map((symbol, place) => [symbol, starts[place]]));
    if (right.length && !pauseAfter) {
      const [next, ...others] = right;
      const rest = others.map((symbol) => [symbol, null]);
      anything = this.walk(anything, [[next, null], ...rest]);
      words = this.walk(words, [[next, true], ...rest]);
    }
    return Math.min(0, total(words) - total(anything));
  }

  // The contexts of the language model, each with its log-probability, after phones that begin a word, do not, or either.
  walk(states, phones) {
    const beginning = this.lm.phones.length;
    for (const [symbol, start] of phones) {
      const symbols = start === null ? [symbol, symbol + beginning] : [start ? symbol + beginning : symbol];
      let reached = new Map();
      for (const [context, before] of states) {
        const row = this.lm.row(context);
        for (const one of symbols) {
          const [next, score] = [row.nexts[one], before + row.scores[one]];
          reached.set(next, reached.has(next) ? logAdd(reached.get(next), score) : score);
        }
      }
      if (reached.size > this.settings.contexts) {
        const ordered = [...reached].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
        reached = new Map(ordered.slice(0, this.settings.contexts));
      }
      states = reached;
    }
    return states;
  }

  // The score of a peak, in [0, 1].
  score(fit, phones, boundary) {
    const [one, score, length, path, alone] = this.settings.weights;
    const odds = one + score * fit + length * Math.min(phones, this.settings.longest) + path * fit * Math.max(phones - 2, 1);
    return 1 / (1 + this.falseAlarms(odds + alone * boundary));
  }

  // To be expected in an hour of speech, at `level` or above.
  falseAlarms(level) {
    const { levels, alarms } = this.settings;
    const top = levels.length - 1;
    if (level < levels[0]) return 10 ** (alarms[0] + 0.02 * (levels[0] - level));
    if (level > levels[top]) return 10 ** (alarms[top] - 0.4 * (level - levels[top]));
    const place = Math.min(top - 1, levels.findLastIndex((known) => known <= level));
    const share = (level - levels[place]) / (levels[place + 1] - levels[place]);
    return 10 ** (alarms[place] + share * (alarms[place + 1] - alarms[place]));
  }

  // The search's score below which no peak has the score `threshold`; Infinity where none can.
  leastFit(threshold, phones) {
    if (this.score(0, phones, 0) < threshold) return Infinity;
    let [low, high] = [this.settings.lowest, 0];
    for (let times = 0; times < 30; times++) {
      const middle = (low + high) / 2;
      if (this.score(middle, phones, 0) < threshold) low = middle;
      else high = middle;
    }
    return low;
  }
}

function total(states) {
  return [...states.values()].reduce(logAdd, -Infinity);
}

function logAdd(a, b) {
  if (a === b) return a + Math.LN2;
  return a > b ? a + Math.log1p(Math.exp(b - a)) : b + Math.log1p(Math.exp(a - b));
}
