// Which sentence of a closed list an utterance is, or none of them: streaming/spotting/commands.py, whose constants and
// common words come with the exported page.

import { level, logSum, score } from "./command_level.js";
import { best } from "./decode.js";
import { readPhrase } from "./grammar.js";
import { checkOnce, checkSeen, checkThreshold, faulty, parsePhrase } from "./keywords.js";
import { rounded } from "./numbers.js";
import { PhoneTree, freeScore, relative } from "./phone_tree.js";

// The commands { phrase, variants: [{ phones }] } that phrases with slots stand for; `known` are the model's phones,
// `settings` the exported page's for keywords. It fails with what is wrong with a phrase.
export function parseCommands(phrases, dictionary, known, settings) {
  const { max_sentences: most } = settings.commands;
  const sentences = phrases.flatMap((phrase) => {
    checkSeen(phrase, "command");
    return readPhrase(phrase, (why) => faulty(phrase, "command", why), settings.commands);
  });
  if (sentences.length > most) {
    throw new Error(`${sentences.length} commands are given, ${most} can be had: split the list.`);
  }
  const commands = sentences.map((sentence) => parsePhrase(sentence, "command", dictionary, known, settings));
  checkOnce(commands, "command");
  return commands;
}

export class CommandRecognizer {
  // `commands` are what `parseCommands` gave; `decoder` is the stream's own, which knows its symbols and times; `settings`
  // are those of commands of the exported page. A score below `threshold` is none of the commands.
  constructor(decoder, settings, commands, threshold = settings.threshold) {
    checkThreshold(threshold);
    Object.assign(this, { decoder, settings, commands, threshold });
    const columns = (phones) => phones.map((phone) => decoder.symbols.indexOf(phone));
    this.variants = commands.map(({ variants }) => variants.map(({ phones }) => columns(phones)));
    const own = this.variants.flat();
    const known = new Set(own.map((phones) => phones.join()));
    const words = settings.common_words.map((said) => columns(said.split(" ")));
    const others = words.filter((phones) => phones.length > 1 && !phones.includes(-1) && !known.has(phones.join()));
    this.own = own.length;
    this.tree = new PhoneTree([...own, ...others], decoder.blank, settings.bonus);
    if (this.tree.length > settings.max_nodes) {
      throw new Error(`The commands have ${this.tree.length} phones, ${settings.max_nodes} can be had: split the list.`);
    }
    this.lead = this.rowsOf(settings.lead_seconds);
    this.most = this.rowsOf(settings.max_seconds);
  }

  // Rows in so many seconds, one at least.
  rowsOf(seconds) {
    return Math.max(1, rounded(seconds / this.decoder.tiling.rowSeconds));
  }

  // Whether a phone is the most probable in a row.
  voiced(row) {
    return best(row) !== this.decoder.blank;
  }

  // What an utterance is: { event: "command", command, score, best, second, start, end }; `command` is null where it is none.
  // `rows` are its own, Float32Arrays of log-probabilities, the first of them row `firstRow` of the stream.
  recognize(rows, firstRow) {
    const { each, words, phones } = this.scores(rows);
    const order = each.map((_, place) => place).sort((a, b) => each[b] - each[a] || a - b);
    const name = (place) => this.commands[place]?.phrase ?? null;
    const [first, second] = order;
    const fit = level(each[first], this.variants[first][0].length, words, phones, this.settings.level);
    const sure = score(fit, this.settings.level);
    const voiced = (row) => this.voiced(row);
    const [begin, end] = [rows.findIndex(voiced), rows.findLastIndex(voiced)];
    const seconds = (row) => this.decoder.tiling.seconds(firstRow + row);
    return {
      event: "command",
      command: sure >= this.threshold ? name(first) : null,
      score: sure,
      best: name(first),
      second: name(second),
      start: seconds(Math.max(begin, 0)),
      end: seconds(end < 0 ? rows.length : end + 1),
    };
  }

  // Nats: the best path of each command through `rows`, log sum of other words' and that of any phones.
  scores(rows) {
    const { steepest, bonus } = this.settings;
    const values = relative(rows, steepest);
    const scores = this.tree.scores(values);
    let place = 0;
    const each = this.variants.map(({ length }) => Math.max(...scores.slice(place, (place += length))));
    const phones = freeScore(values, this.decoder.blank, bonus);
    const words = scores.length > this.own ? logSum(scores.slice(this.own), this.settings.level) : phones;
    return { each, words, phones };
  }
}
