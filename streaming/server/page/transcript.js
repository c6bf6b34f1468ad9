// What was heard as files: Praat's TextGrid, SubRip's SRT and JSON, as src/phonestream/formats/ writes them.
//
// A recording is { file, seconds, phones }; `name` gives what a phone is to be called.

const CUE_PAUSE = 200; // milliseconds that begin a new cue
const WIDTH = 42; // columns of a cue's line
const LINES = 2; // of a cue

const ms = (seconds) => Math.round(seconds * 1000);

// Phones and the silences between them, { symbol, start, end } from 0 to `seconds` without gaps: formats/tiling.py.
export function tile(phones, seconds) {
  const pending = []; // [symbol, end in milliseconds]
  let edge = 0;
  const put = (symbol, end) => pending.push([symbol, (edge = Math.max(ms(end), edge + 1))]);
  for (const { symbol, start, end } of phones) {
    if (ms(start) > edge) put("", start);
    put(symbol, end);
  }
  if (ms(seconds) > edge || (seconds > 0 && !pending.length)) put("", seconds);
  let start = 0;
  return pending.map(([symbol, end], place) => {
    const left = pending.length - 1 - place;
    const interval = { symbol, start, end: left ? Math.min(end, ms(seconds) - left) / 1000 : seconds };
    start = interval.end;
    return interval;
  });
}

export function textGrid({ seconds, phones }, name) {
  const quoted = (text) => `"${text.replaceAll('"', '""')}"`;
  const intervals = tile(phones, seconds);
  const lines = [
    'File type = "ooTextFile"',
    'Object class = "TextGrid"',
    "",
    "xmin = 0 ",
    `xmax = ${seconds} `,
    "tiers? <exists> ",
    "size = 1 ",
    "item []: ",
    "    item [1]:",
    '        class = "IntervalTier" ',
    '        name = "phones" ',
    "        xmin = 0 ",
    `        xmax = ${seconds} `,
    `        intervals: size = ${intervals.length} `,
  ];
  intervals.forEach(({ symbol, start, end }, place) => {
    lines.push(`        intervals [${place + 1}]:`, `            xmin = ${start} `, `            xmax = ${end} `);
    lines.push(`            text = ${quoted(symbol && name(symbol))} `);
  });
  return lines.map((line) => `${line}\n`).join("");
}

export function subRip({ seconds, phones }, name) {
  const spoken = tile(phones, seconds).filter(({ symbol }) => symbol);
  const cues = []; // lists of lines, each a list of intervals
  let used = 0;
  spoken.forEach((interval, place) => {
    const length = name(interval.symbol).length;
    const before = spoken[place - 1];
    const paused = !before || ms(interval.start - before.end) >= CUE_PAUSE;
    if (paused || (used + 1 + length > WIDTH && cues.at(-1).length === LINES)) {
      cues.push([[interval]]);
      used = length;
    } else if (used + 1 + length > WIDTH) {
      cues.at(-1).push([interval]);
      used = length;
    } else {
      cues.at(-1).at(-1).push(interval);
      used += 1 + length;
    }
  });
  const clock = (time) => {
    const [rest, thousandths] = [Math.floor(ms(time) / 1000), ms(time) % 1000];
    const parts = [Math.floor(rest / 3600), Math.floor(rest / 60) % 60, rest % 60];
    return `${parts.map((part) => String(part).padStart(2, "0")).join(":")},${String(thousandths).padStart(3, "0")}`;
  };
  const written = cues.map((lines, place) => {
    const text = lines.map((line) => `${line.map(({ symbol }) => name(symbol)).join(" ")}\n`).join("");
    return `${place + 1}\n${clock(lines[0][0].start)} --> ${clock(lines.at(-1).at(-1).end)}\n${text}`;
  });
  return written.join("\n");
}

export function json({ file, seconds, phones }, name) {
  const rounded = (value) => ms(value) / 1000;
  const listed = phones.map(({ symbol, start, end, confidence, word_start, peak }) => ({
    symbol: name(symbol),
    start: rounded(start),
    end: rounded(end),
    confidence: rounded(confidence),
    ...(typeof word_start === "boolean" ? { word_start } : {}),
    peak: rounded(peak),
  }));
  return `${JSON.stringify({ file, seconds: rounded(seconds), phones: listed })}\n`;
}

// By the endings of files' names.
export const FORMATS = { TextGrid: textGrid, srt: subRip, json };
