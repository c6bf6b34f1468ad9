// How much better a command fits an utterance than all that is no command, and the score made of it:
// streaming/spotting/command_level.py, whose weights come with the exported page.

import { logAdd } from "./numbers.js";

// Of nats their log sum at `temperature`.
export function logSum(scores, { temperature }) {
  return temperature * scores.map((score) => score / temperature).reduce(logAdd);
}

// The level of a command of `length` phones: `best` is its best path, `words` the log sum of all other words, `phones` the
// best path of any phones at all.
export function level(best, length, words, phones, { one_phone, wrong, fit_weight }) {
  return best - logAdd(words, phones - one_phone * Math.max(1, wrong * length)) + fit_weight * best;
}

// The score, in [0, 1].
export function score(level, { level_at_half }) {
  return 1 / (1 + Math.exp(Math.min(level_at_half - level, 500)));
}
