// Phrases with slots, `turn [the] light (on | off)`, to the sentences that they stand for: the rules of
// streaming/spotting/jsgf.py and grammar.py, without files of rules.

const TOKEN = new RegExp(
  [
    /(?<space>\s+|\/\/[^\n]*|\/\*.*?\*\/)/,
    /(?<rule><[^<>\s]+>)/,
    /(?<quoted>"[^"\n]*")/,
    /(?<tag>\{(?:[^{}\\]|\\.)*\})/,
    /(?<weight>\/\s*[0-9.eE+\-]+\s*\/)/,
    /(?<mark>[;=|*+()[\]])/,
    /(?<word>[^\s;=|*+<>()[\]{}\/"\\]+)/,
  ]
    .map(({ source }) => source)
    .join("|"),
  "suy",
);
const SLOTS = /[()[\]|]/;
const PHONES = /\/[^/]*\//g;
const CLOSING = { "(": ")", "[": "]" };
const NAMES = { end: "the end", rule: "a <rule>", word: "a name" };

// All sentences of a phrase, each once, in the order of the text; one with phones between slashes is left as it is.
// `wrong(why)` makes the error that is thrown; `settings` are those of commands of the exported page.
export function readPhrase(phrase, wrong, { max_sentences, max_words, max_depth }) {
  if (!SLOTS.test(phrase.replace(PHONES, ""))) return [phrase];
  const parser = new Parser(phrase, wrong, max_depth);
  const root = parser.alternatives(0);
  parser.expect("end");
  const { count, words } = size(root);
  const most = (number) => number.toLocaleString("en");
  if (count > max_sentences) {
    throw wrong(
      `stands for ${most(count)} sentences, at most ${most(max_sentences)} can be had: split it, or say what varies in a second command`,
    );
  }
  if (words > max_words) throw wrong(`has a sentence of ${most(words)} words: at most ${max_words} can be had`);
  const sentences = new Set(expand(root).map((texts) => texts.join(" ")));
  sentences.delete("");
  if (!sentences.size) throw wrong("stands for no sentence: give at least one with a word");
  return [...sentences];
}

// Recursive descent over tokens. A node is { text }, { series: nodes } or { choice: nodes }.
class Parser {
  constructor(phrase, wrong, maxDepth) {
    Object.assign(this, { phrase, wrong, maxDepth });
    this.tokens = this.read();
    this.next = 0;
  }

  read() {
    const tokens = [];
    let at = 0;
    while (at < this.phrase.length) {
      TOKEN.lastIndex = at;
      const match = TOKEN.exec(this.phrase);
      if (!match) throw this.error(at, `unexpected “${String.fromCodePoint(this.phrase.codePointAt(at))}”`);
      const [kind] = Object.entries(match.groups).find(([, text]) => text !== undefined);
      if (kind !== "space") tokens.push({ kind, text: match[0], at });
      at += match[0].length;
    }
    return [...tokens, { kind: "end", text: "", at }];
  }

  get token() {
    return this.tokens[this.next];
  }

  take() {
    const { token } = this;
    if (token.kind !== "end") this.next += 1;
    return token;
  }

  // Takes the next token, whose kind or text is `wanted`.
  expect(wanted) {
    const { kind, text, at } = this.token;
    if (kind !== wanted && text !== wanted) throw this.error(at, `expected ${named(wanted)}, found ${named(text || "end")}`);
    return this.take();
  }

  // Series between bars.
  alternatives(depth) {
    if (depth > this.maxDepth) throw this.error(this.token.at, `groups within groups, ${this.maxDepth} deep: write out what may be said`);
    const ways = [this.series(depth)];
    while (this.token.text === "|") {
      this.take();
      ways.push(this.series(depth));
    }
    return ways.length === 1 ? ways[0] : { choice: ways };
  }

  series(depth) {
    if (this.token.kind === "weight") this.take();
    const begin = this.token;
    const parts = [];
    for (let part; (part = this.part(depth)); ) parts.push(part);
    if (!parts.length) throw this.error(begin.at, `expected a word, found ${named(begin.text || "end")}`);
    return { series: parts };
  }

  part(depth) {
    const { kind, text, at } = this.token;
    let node;
    if (kind === "rule") {
      node = { "<NULL>": { series: [] }, "<VOID>": { choice: [] } }[text];
      if (!node) throw this.error(at, `there is no rule ${text}: check its spelling`);
      this.take();
    } else if (kind === "word" || kind === "quoted") {
      node = { text: this.take().text.replace(/^"+|"+$/g, "") };
    } else if (kind === "mark" && text in CLOSING) {
      this.take();
      node = this.alternatives(depth + 1);
      this.expect(CLOSING[text]);
      if (text === "[") node = { choice: [node, { series: [] }] };
    } else if (kind === "weight") {
      throw this.error(at, "a weight stands before an alternative, not within it");
    } else {
      return null;
    }
    const after = this.token;
    if (after.text === "*" || after.text === "+") {
      throw this.error(after.at, `${after.text} is without end: write out how often it may be said`);
    }
    while (this.token.kind === "tag") this.take();
    return node;
  }

  // What is wrong at a place of the phrase.
  error(at, why) {
    return this.wrong(`cannot be read: column ${[...this.phrase.slice(0, at)].length + 1}: ${why}`);
  }
}

// How much an expression stands for, without expanding it: sentences, and words of the longest one.
function size({ text, series, choice }) {
  if (text !== undefined) return { count: 1, words: text.split(/\s+/).filter(Boolean).length };
  const sizes = (series ?? choice).map(size);
  const [counts, words] = [sizes.map(({ count }) => count), sizes.map((one) => one.words)];
  const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
  if (choice) return { count: sum(counts), words: Math.max(0, ...words) };
  return { count: counts.reduce((a, b) => a * b, 1), words: sum(words) };
}

function expand({ text, series, choice }) {
  if (text !== undefined) return [[text]];
  if (choice) return choice.flatMap(expand);
  const product = (all, part) => all.flatMap((before) => part.map((after) => [...before, ...after]));
  return series.map(expand).reduce(product, [[]]);
}

function named(text) {
  return Object.hasOwn(NAMES, text) ? NAMES[text] : `“${text}”`;
}
