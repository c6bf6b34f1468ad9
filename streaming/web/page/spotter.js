// Keywords in rows of log-probabilities, each with a score on one scale: the rules of streaming/spotting/spotter.py,
// and calibration.py, whose constants come with the exported page.

import { Context } from "./context.js";
import { KeywordSearch } from "./keyword_search.js";

export class Spotter {
  // `keywords` are { phrase, variants: [{ phones, starts }], threshold }, in phones that the model has; `decoder` the
  // stream's own, which knows its symbols and times; `lm` what `readPhoneLM` gave; `settings` those of the exported page.
  constructor(decoder, settings, lm, keywords) {
    Object.assign(this, { decoder, settings, keywords });
    this.variants = keywords.flatMap(({ variants }) => variants);
    const owners = keywords.flatMap(({ variants }, keyword) => variants.map(() => keyword));
    this.columns = this.variants.map(({ phones }) => phones.map((phone) => decoder.symbols.indexOf(phone)));
    const lowest = keywords.map(({ variants, threshold }) =>
      Math.min(...variants.map(({ phones }) => this.leastFit(threshold, phones.length))),
    );
    const { blank, symbols } = decoder;
    const { rowSeconds } = decoder.tiling;
    this.search = new KeywordSearch(this.columns, owners, lowest, { blank, columns: symbols.length, rowSeconds }, settings);
    this.context = new Context(lm, { symbols, blank, rowSeconds }, settings.context);
    this.kept = Math.round(settings.kept_seconds / rowSeconds);
    this.rows = []; // the last ones
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
    this.rows = before.rows;
    return this;
  }

  // What the next row, a Float32Array, makes certain: { event: "spotted", phrase, start, end, score, word_boundary }.
  decode(row) {
    this.rows.push(row.slice());
    if (this.rows.length > this.kept) this.rows.shift();
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
    const likelihood = this.judge(peak, this.leastWords(threshold, peak.score, variant.phones.length));
    const score = this.score(peak.score, variant.phones.length, likelihood?.words);
    if (score < threshold) return [];
    const { tiling } = this.decoder;
    const [start, end] = [tiling.seconds(peak.start), tiling.seconds(peak.end + 1)];
    const alone = likelihood && likelihood.boundary >= this.settings.likely;
    return [{ event: "spotted", phrase, start, end, score, word_boundary: alone }];
  }

  // What the rows around a peak say, at least whether it is as probable as `least`; null if they are not all there.
  judge({ variant, start, end, score }, least) {
    const { context, rows, search, columns } = this;
    const known = end + search.window + 1;
    const origin = search.row - rows.length; // of the first of `rows`
    const earliest = Math.max(origin, known - this.kept);
    if (start < earliest) return null;
    const first = Math.max(earliest, start - context.before);
    const around = rows.slice(first - origin, end + 1 + context.after - origin).map((row) => {
      const highest = Math.max(...row);
      return row.map((value) => value - highest);
    });
    const path = score * Math.max(columns[variant].length - 2, 1);
    const { starts } = this.variants[variant];
    return context.judge(around, start - first, end + 1 - first, path, columns[variant], starts, least);
  }

  // The score of a peak, in [0, 1]; `words` is the log-probability that it is said, if that is known.
  score(fit, phones, words) {
    const { unlikely, in_context, without } = this.settings;
    const { weights, alarms } = words === undefined ? without : in_context;
    const odds = this.odds(weights, fit, phones);
    const said = weights[4];
    return 1 / (1 + this.falseAlarms(words === undefined ? odds : odds + said * Math.min(0, Math.max(unlikely, words)), alarms));
  }

  odds([one, score, length, path], fit, phones) {
    return one + score * fit + length * Math.log(phones) + path * fit * Math.max(phones - 2, 1);
  }

  // The log-probability that it is said below which a peak has no score of `threshold`; -Infinity where it has at any.
  leastWords(threshold, fit, phones) {
    const { weights } = this.settings.in_context;
    const words = (this.leastLevel(threshold) - this.odds(weights, fit, phones)) / weights[4];
    return words > this.settings.unlikely ? words : -Infinity;
  }

  // The level that has the score `threshold` in context; far beyond the table's ends where none near it has.
  leastLevel(threshold) {
    let [low, high] = [-200, 50];
    for (let times = 0; times < 60; times++) {
      const middle = (low + high) / 2;
      if (1 / (1 + this.falseAlarms(middle, this.settings.in_context.alarms)) < threshold) low = middle;
      else high = middle;
    }
    return low;
  }

  // To be expected in an hour of speech, at `level` or above.
  falseAlarms(level, alarms) {
    const { levels } = this.settings;
    const top = levels.length - 1;
    if (level < levels[0]) return 10 ** (alarms[0] + 0.02 * (levels[0] - level));
    if (level > levels[top]) return 10 ** (alarms[top] - 0.4 * (level - levels[top]));
    const place = Math.min(top - 1, levels.findLastIndex((known) => known <= level));
    const share = (level - levels[place]) / (levels[place + 1] - levels[place]);
    return 10 ** (alarms[place] + share * (alarms[place + 1] - alarms[place]));
  }

  // The search's score below which no peak has the score `threshold`; Infinity where none can.
  leastFit(threshold, phones) {
    const { weights } = this.settings.in_context;
    const best = this.odds(weights, 0, phones);
    const fit = (this.leastLevel(threshold) - best) / (best - this.odds(weights, -1, phones));
    return fit > 0 ? Infinity : Math.max(this.settings.lowest, fit);
  }
}
