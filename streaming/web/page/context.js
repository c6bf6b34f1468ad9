// How probable a keyword is where it fits, beside all else that may have been said there: streaming/spotting/context.py.

import { logAdd, totalOf } from "./numbers.js";

const NEVER = -1e30;
const MARKS = 3;
const [OTHER, SAID, WORD] = [0, 1, 2];

export class Context {
  // `lm` is what `readPhoneLM` gave, `symbols` are those of the rows' columns, `settings` those of the exported page.
  constructor(lm, { symbols, blank, rowSeconds }, settings) {
    Object.assign(this, { lm, blank }, settings);
    this.phones = lm.phones.length;
    this.symbols = 1 + 2 * this.phones;
    this.column = new Int32Array(this.symbols).fill(blank); // of each symbol
    this.symbol = new Map(); // of each column that is a phone's, within a word
    this.inside = [];
    lm.phones.forEach((phone, place) => {
      const column = symbols.indexOf(phone);
      if (column < 0) return;
      const symbol = place + 1;
      this.column[symbol] = this.column[symbol + this.phones] = column;
      this.symbol.set(column, symbol);
      this.inside.push(symbol);
    });
    this.before = Math.round(settings.before_seconds / rowSeconds);
    this.after = Math.round(settings.after_seconds / rowSeconds);
  }

  // What is to be thought of a keyword that is heard in `rows`, divided by their maxima, from row `begin` to before `end`:
  // { words, boundary }. `fit` is the log-probability of its best path, `phones` are columns. Where its own rows say that it
  // is less probable than `least` by more than `behind`, those behind it are not looked at.
  judge(rows, begin, end, fit, phones, starts, least = -Infinity) {
    const left = this.forward([{ key: 0, blank: 0, phone: NEVER }], rows.slice(0, begin));
    const said = this.enter(left, fit, phones, starts);
    const anything = this.forward(left, rows.slice(begin, end));
    const soFar = likelihood(said, anything);
    if (soFar.words < least - this.behind) return soFar;
    const after = rows.slice(end);
    return likelihood(this.forward(said, after), this.forward(anything, after));
  }

  enter(states, fit, phones, starts) {
    const last = ({ key }) => Math.floor(key / MARKS) % this.symbols;
    const again = (state) => this.column[last(state)] === phones[0];
    states = states.map((state) => ({ key: this.context(state) * this.symbols * MARKS + SAID, phone: again(state) ? state.blank : totalOf(state) }));
    phones.forEach((phone, place) => {
      const reached = [];
      for (const state of states) {
        const row = this.lm.row(this.context(state));
        for (const [begins, symbol] of [this.symbol.get(phone), this.symbol.get(phone) + this.phones].entries()) {
          const right = state.key % MARKS === SAID && Boolean(begins) === starts[place];
          const key = this.key(row.nexts[symbol], symbol, right ? SAID : OTHER);
          reached.push({ key, blank: NEVER, phone: state.phone + row.scores[symbol] + this.bonus });
        }
      }
      states = this.merged(reached);
    });
    return states.map((state) => ({ ...state, phone: state.phone + fit }));
  }

  forward(states, rows) {
    for (const row of rows) {
      const heard = this.inside.map((symbol) => row[this.column[symbol]]);
      const next = states.map((state) => {
        const column = this.column[Math.floor(state.key / MARKS) % this.symbols];
        return { key: state.key, blank: totalOf(state) + row[this.blank], phone: state.phone + row[column] };
      });
      if (Math.max(...heard) < row[this.blank] - this.sure) {
        states = next;
        continue;
      }
      const tried = this.inside.filter((_, place) => heard[place] > -this.cut);
      const reached = [];
      let best = -Infinity;
      for (const state of states) {
        const { scores, nexts } = this.lm.row(this.context(state));
        const mark = state.key % MARKS;
        const own = this.column[Math.floor(state.key / MARKS) % this.symbols];
        const whole = totalOf(state);
        for (const symbol of [...tried, ...tried.map((inside) => inside + this.phones)]) {
          const column = this.column[symbol];
          const score = (column === own ? state.blank : whole) + scores[symbol] + (row[column] + this.bonus);
          best = Math.max(best, score);
          const after = mark !== SAID ? mark : symbol > this.phones ? WORD : OTHER;
          reached.push({ key: this.key(nexts[symbol], symbol, after), blank: NEVER, phone: score });
        }
      }
      states = this.merged([...next, ...reached.filter(({ phone }) => phone > best - this.beam)]);
    }
    return states;
  }

  context({ key }) {
    return Math.floor(key / (MARKS * this.symbols));
  }

  key(context, symbol, mark) {
    return (context * this.symbols + symbol) * MARKS + mark;
  }

  // States of equal keys as one, and the most probable of them.
  merged(states) {
    const byKey = new Map();
    for (const { key, blank, phone } of states) {
      const known = byKey.get(key);
      byKey.set(key, known ? { key, blank: logAdd(known.blank, blank), phone: logAdd(known.phone, phone) } : { key, blank, phone });
    }
    const merged = [...byKey.values()].sort((a, b) => a.key - b.key);
    const scores = new Map(merged.map((state) => [state, totalOf(state)]));
    const best = Math.max(...scores.values());
    const kept = merged.filter((state) => scores.get(state) > best - this.beam);
    if (kept.length <= this.size) return kept;
    const first = [...kept].sort((a, b) => scores.get(b) - scores.get(a)).slice(0, this.size);
    return first.sort((a, b) => a.key - b.key);
  }
}

function likelihood(said, anything) {
  const words = logSum(said.filter(({ key }) => key % MARKS !== OTHER));
  return { words: words - logSum(anything), boundary: words - logSum(said) };
}

function logSum(states) {
  return states.map(totalOf).reduce(logAdd, NEVER);
}
