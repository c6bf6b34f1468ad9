// Phrases to the ways to say them, as streaming/spotting/keywords.py has it, by a dictionary alone: words that it lacks
// are said by their phones.

const MOST_KEYWORDS = 100;
const MOST_LETTERS = 200;
const GIVEN = /\/([^/]*)\//g;
const UNSEEN = /(?![\t\n\r])[\p{Cc}\p{Cf}\p{Cs}]/u; // control, format (other directions, no width), lone surrogates

// The dictionary of the exported page, from its compressed lines: word, tab, pronunciations apart by tabs.
export async function readDictionary(file) {
  const stream = new Blob([file]).stream().pipeThrough(new DecompressionStream("deflate"));
  const entries = new Map();
  for (const line of (await new Response(stream).text()).split("\n")) {
    const [word, ...said] = line.split("\t");
    entries.set(word, said);
  }
  return entries;
}

// Keywords for a `Spotter`: { phrase, variants: [{ phones, starts }], threshold }. `known` are the model's phones. It fails
// with what is wrong with a phrase.
export function parseKeywords(phrases, threshold, dictionary, known, settings) {
  checkThreshold(threshold);
  if (phrases.length > MOST_KEYWORDS) throw new Error(`${phrases.length} keywords are given, ${MOST_KEYWORDS} can be had.`);
  const keywords = phrases.map((phrase) => ({ ...parsePhrase(phrase, "keyword", dictionary, known, settings), threshold }));
  checkOnce(keywords, "keyword");
  return keywords;
}

export function checkThreshold(threshold) {
  if (!(threshold >= 0 && threshold <= 1)) throw new Error(`The threshold ${threshold} is no number from 0 to 1.`);
}

export function checkOnce(parsed, noun) {
  const seen = new Set();
  for (const { phrase } of parsed) {
    if (seen.has(phrase)) throw new Error(`The ${noun} “${phrase}” is given twice: name each once.`);
    seen.add(phrase);
  }
}

// The error that says what is wrong with a phrase.
export const faulty = (phrase, noun, why) => new Error(`The ${noun} “${phrase.slice(0, 40)}” ${why}.`);

// Characters that are not seen part words, or hide what is said.
export function checkSeen(phrase, noun) {
  const [hidden] = UNSEEN.exec(phrase) ?? [];
  if (hidden === undefined) return;
  const code = hidden.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
  throw faulty(phrase, noun, `has the character U+${code} in it, which is not seen: type it anew`);
}

// A phrase, which messages call a `noun`, and all ways to say it: { phrase, variants }.
export function parsePhrase(phrase, noun, dictionary, known, { min_phones, max_phones, max_variants }) {
  const wrong = (why) => faulty(phrase, noun, why);
  if (phrase.length > MOST_LETTERS) throw wrong(`has more than ${MOST_LETTERS} characters`);
  checkSeen(phrase, noun);
  const given = [...phrase.matchAll(GIVEN)].map(([, text]) => text);
  const rest = phrase.replace(GIVEN, " ");
  if (rest.includes("/")) throw wrong("has a / without its fellow: phones stand between two, /K AE T/");
  const ways = given.length ? given.map(spelled) : pronounced(rest, dictionary, max_variants, wrong);
  const variants = [...new Map(ways.map((words) => [JSON.stringify(words), variant(words)])).values()];
  const odd = variants.flatMap(({ phones }) => phones).find((phone) => !known.includes(phone));
  if (odd !== undefined) throw wrong(`has the phone ${odd}, which is none of ${known.join(" ")}`);
  const lengths = variants.map(({ phones }) => phones.length);
  if (Math.min(...lengths) < min_phones) throw wrong(`is too short: give ${min_phones} phones at least, better 5`);
  if (Math.max(...lengths) > max_phones) throw wrong(`has more than ${max_phones} phones: give a part of it`);
  const label = (text) => text.split(/\s+/).filter(Boolean).join(" ");
  return { phrase: label(rest) || label(phrase), variants };
}

// The words between two slashes, as lists of phones.
function spelled(text) {
  const phones = (word) => word.toUpperCase().split(/\s+/).filter(Boolean).map((phone) => phone.replace(/[012]$/, ""));
  return text.split("|").map(phones);
}

// All ways to say words that the dictionary has, the most usual first.
function pronounced(text, dictionary, most, wrong) {
  const plain = text.normalize("NFKD").replace(/\p{M}/gu, "").replace(/[’‘]/g, "'").replaceAll("&", " and ").toLowerCase();
  const words = plain.split(/[^\p{L}\p{N}']+/u).filter((word) => /[\p{L}\p{N}]/u.test(word));
  if (!words.length) throw wrong("has no letters: give words, or phones between slashes, /K AE T/");
  const ways = words.map((word) => {
    const said = dictionary.get(word) ?? dictionary.get(word.replace(/^'+|'+$/g, ""));
    if (!said) throw wrong(`has the word “${word}”, which this page cannot say: give its phones, /K AE T/`);
    return said.map((phones) => phones.split(" "));
  });
  const chosen = [];
  const longest = ways.reduce((sum, said) => sum + said.length - 1, 0);
  for (let sum = 0; sum <= longest && chosen.length < most; sum++) {
    chosen.push(...combinations(ways.map((said) => said.length), sum).slice(0, most - chosen.length));
  }
  return chosen.map((places) => places.map((place, word) => ways[word][place]));
}

// Places below `sizes` that come to `sum`.
function combinations(sizes, sum) {
  if (!sizes.length) return sum === 0 ? [[]] : [];
  const [size, ...rest] = sizes;
  const found = [];
  for (let first = 0; first < Math.min(size, sum + 1); first++) {
    for (const others of combinations(rest, sum - first)) found.push([first, ...others]);
  }
  return found;
}

function variant(words) {
  const starts = words.flatMap((word) => word.map((_, place) => place === 0));
  return { phones: words.flat(), starts };
}
