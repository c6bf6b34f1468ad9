// What the buttons do: from the microphone or a file, through the recogniser, into the picture and the text.
//
// The recogniser is what `start` is given: { openStream, transcribe, waiting, capture }, from a server (server.js) or in this
// browser. `openStream(rate, onEvent, keywords, commands)` promises a stream with send(samples), gap(count),
// setKeywords(phrases), setCommands(phrases) if there can be commands, finish(), behind() and the promise `done`; `transcribe(file, decoded, onProgress, keywords, commands)`
// promises { seconds, phones, spotted, commands, lost, remarks } of a file, whose samples are promised by `decoded`; `waiting` is
// said while a stream is long in opening; `capture`, if it is there, promises the address of capture.js. Commands are none
// where the page has no field for them.

import { decodeFile, openMicrophone } from "./audio.js";
import { IPA } from "./ipa.js";
import { Player } from "./player.js";
import { Spectrum } from "./spectrum.js";
import { FORMATS } from "./transcript.js";
import { View } from "./view.js";

const PAUSE = 0.15; // seconds without a phoneme that begin a new line
const LATEST = 15; // phonemes over which latency is taken
const KEPT_LINES = 500;
const PATIENCE = 400; // milliseconds after which it is told that a stream is not open yet
const MOST_BEHIND = 30; // seconds by which the audio that waits may grow; then listening stops, and what waits is heard
const PICTURE_SECONDS = 10; // of a file that are drawn at a time
const PLAYED_SECONDS = 600; // of the microphone that can be played again; of more, nothing can
const LIVE_NAME = "microphone"; // of a file made of what the microphone heard

const at = (id) => document.getElementById(id);
const view = new View(at("view"));
const names = { arpabet: (symbol) => symbol, ipa: (symbol) => IPA[symbol] ?? symbol };

let engine = null;
let name = names.arpabet;
let live = null; // what stops the microphone, while it is open
let listening = null; // the stream that it is heard by
let busy = false;
let lastEnd = 0;
let guesses = []; // what is written of phonemes that are not certain yet
let lostSeconds = 0;
let latencies = [];
let heard = { file: "", seconds: 0, phones: [] };
let sound = null; // { samples, rate } of it

const player = new Player(
  (seconds) => {
    view.point(seconds);
    showStatus(seconds ?? heard.seconds);
  },
  () => setPlaying(false),
);

function clear() {
  player.stop();
  heard = { file: "", seconds: 0, phones: [] };
  sound = null;
  at("result").hidden = true;
  view.clear();
  at("lines").replaceChildren();
  at("spotted").replaceChildren();
  guesses = [];
  at("hint").hidden = true;
  [lastEnd, lostSeconds, latencies] = [0, 0, []];
  tell("");
  showStatus(0);
}

function tell(message) {
  at("problem").textContent = message;
}

function showStatus(seconds, behind = 0) {
  at("time").textContent = `${seconds.toFixed(1)} s`;
  const sorted = [...latencies].sort((a, b) => a - b);
  at("latency").textContent = sorted.length ? `${sorted[sorted.length >> 1].toFixed(2)} s` : "–";
  at("behind").textContent = behind < 0.25 ? "0 s" : `${behind.toFixed(1)} s`;
  at("behind").classList.toggle("some", behind >= 1);
  at("lost").textContent = lostSeconds ? `${lostSeconds.toFixed(2)} s` : "0 s";
  at("lost").classList.toggle("some", lostSeconds > 0);
}

function addPhone(phone) {
  addTentative([]);
  heard.phones.push(phone);
  view.addPhone(phone);
  addMark(phone).style.opacity = 0.35 + 0.65 * phone.confidence;
  lastEnd = phone.end;
}

// The best guess at what follows, in place of the guess before: faint, until it is certain or something else is.
function addTentative(phones) {
  for (const node of guesses) node.remove();
  guesses = [];
  const lines = at("lines");
  const blank = (line) => line && !line.lastElementChild.childElementCount;
  while (blank(lines.lastElementChild)) lines.lastElementChild.remove(); // of guesses alone
  const end = lastEnd;
  for (const phone of phones) {
    const mark = addMark(phone);
    mark.classList.add("tentative");
    guesses.push(mark, mark.nextSibling);
    lastEnd = phone.end;
  }
  lastEnd = end;
}

// Writes a phoneme behind the others; where a word may begin, with more room before it.
function addMark(phone) {
  const lines = at("lines");
  if (!lines.lastElementChild || phone.start - lastEnd >= PAUSE) {
    const line = document.createElement("li");
    const time = document.createElement("time");
    time.textContent = phone.start.toFixed(2);
    line.append(time, document.createElement("span"));
    lines.append(line);
    if (lines.childElementCount > KEPT_LINES) lines.firstElementChild.remove();
  }
  const mark = document.createElement("span");
  mark.dataset.symbol = phone.symbol;
  mark.textContent = name(phone.symbol);
  mark.title = `${phone.start.toFixed(2)} to ${phone.end.toFixed(2)} s, confidence ${phone.confidence.toFixed(2)}`;
  if (phone.word_start) {
    mark.classList.add("word");
    mark.title += "; a word seems to begin here";
  }
  lines.lastElementChild.lastElementChild.append(mark, " ");
  lines.scrollTop = lines.scrollHeight;
  return mark;
}

function addLost({ start, seconds }) {
  lostSeconds += seconds;
  view.lose(start, seconds);
}

function addSpotted({ phrase, start, score }) {
  addFound(start, phrase, score.toFixed(2));
}

// What was said, and beside it how sure that is, in its place by time: a command is told after keywords that were in it.
function addFound(start, text, beside) {
  const item = document.createElement("li");
  item.dataset.start = start;
  const time = document.createElement("time");
  time.textContent = start.toFixed(2);
  const said = document.createElement("span");
  said.textContent = text;
  const small = document.createElement("small");
  small.textContent = beside;
  item.append(time, said, small);
  const earlier = [...at("spotted").children].findLast((other) => Number(other.dataset.start) <= start);
  if (earlier) earlier.after(item);
  else at("spotted").prepend(item);
  if (at("spotted").childElementCount > KEPT_LINES) at("spotted").firstElementChild.remove();
  return said;
}

function addCommand({ command, best, score, start }) {
  const sure = score.toFixed(2);
  const said = command === null ? addFound(start, "none of the commands", `nearest: ${best}, ${sure}`) : addFound(start, command, sure);
  said.classList.toggle("rejected", command === null);
}

// Offers what was heard, once all of it is there.
function offer(file, seconds, samples) {
  Object.assign(heard, { file, seconds });
  sound = samples;
  at("play").hidden = !sound;
  at("result").hidden = false;
}

// The lines of text as they are shown.
function shownText() {
  const lines = [...at("lines").children].map((line) => {
    const [time, phones] = line.children;
    const words = [...phones.children].map((mark) => (mark.classList.contains("word") ? "| " : "") + mark.textContent);
    return `${time.textContent.padStart(8)}  ${words.join(" ").replace(/^\| /, "")}\n`;
  });
  return lines.join("");
}

function save(ending) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([FORMATS[ending](heard, name)], { type: "text/plain" }));
  link.download = `${heard.file.replace(/\.[^.]*$/, "") || LIVE_NAME}.${ending}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function setPlaying(on) {
  at("play").setAttribute("aria-pressed", String(on));
  at("play").textContent = on ? "Stop" : "Play";
}

// What the page is asked to tell when it is said; of a page that cannot, nothing.
const keywords = () => phrasesIn("keywords");
const commands = () => phrasesIn("commands");

function phrasesIn(field) {
  const phrases = (at(field)?.value ?? "").split(/[,\n]/).map((phrase) => phrase.trim());
  return phrases.filter((phrase) => phrase);
}

async function listen() {
  clear();
  let spectrum = null;
  let stream = null;
  let samples = 0; // of the stream so far, lost ones too
  let least = Infinity; // seconds of audio that have waited at the best time
  let failed = null;
  let early = []; // blocks that came before the server was ready: the first word is not cut
  const seconds = () => (spectrum ? samples / spectrum.rate : 0);
  const show = () => showStatus(seconds(), stream?.behind());
  let kept = []; // blocks to be played again; null when they are too many
  const forward = (block) => (block.lost ? stream.gap(block.lost) : stream.send(block.samples));
  const arrive = (block) => {
    if (!spectrum) return early.push(block);
    samples += block.lost ?? block.samples.length;
    const values = block.samples ?? new Float32Array(block.lost);
    view.add(spectrum.push(values));
    if (samples > PLAYED_SECONDS * spectrum.rate) kept = null;
    kept?.push(values);
    if (stream) forward(block);
    else early.push(block);
    show();
    if (!stream) return;
    least = Math.min(least, stream.behind());
    if (stream.behind() > least + MOST_BEHIND) {
      failed = "Listening has stopped, as it fell further and further behind. All that was said until then is here.";
      live?.();
    }
  };
  const microphone = await openMicrophone({
    capture: await engine.capture,
    take: (block) => arrive({ samples: block }),
    lose: (count) => arrive({ lost: count }),
    fail: (message) => {
      failed = message;
      live?.();
    },
  });
  try {
    spectrum = new Spectrum(microphone.rate);
    const before = early.splice(0);
    before.forEach(arrive);
    const asked = keywords();
    const listed = commands();
    const opening = engine.openStream(microphone.rate, (event) => {
      if (event.event === "phone") {
        latencies = [...latencies.slice(1 - LATEST), Math.max(0, seconds() - event.peak)];
        addPhone(event);
      } else if (event.event === "tentative") addTentative(event.phones);
      else if (event.event === "lost") addLost(event);
      else if (event.event === "spotted") addSpotted(event);
      else if (event.event === "command") addCommand(event);
      else if (event.event === "keywords" || event.event === "commands") tell("");
      else if (event.event === "refused") tell(event.message);
      show();
    }, asked, listed);
    const timer = setTimeout(() => tell(engine.waiting), PATIENCE);
    const opened = await opening.finally(() => clearTimeout(timer));
    tell("");
    stream = listening = opened;
    if (keywords().join() !== asked.join()) opened.setKeywords(keywords());
    if (listed.length && commands().join() !== listed.join()) opened.setCommands(commands());
    early.splice(0).forEach(forward);
    setListening(true, listed.length > 0);
    await Promise.race([new Promise((resolve) => (live = resolve)), opened.done]);
    await microphone.stop();
    opened.finish();
    await opened.done;
    show();
    offer(LIVE_NAME, seconds(), kept && { samples: joined(kept, samples), rate: spectrum.rate });
    if (failed) tell(failed);
  } finally {
    live = listening = null;
    await microphone.stop();
    setListening(false);
  }
}

async function open(file) {
  clear();
  tell(`Listening to ${file.name} …`);
  const decoded = decodeFile(file);
  const progress = (share) => share > 0.1 && tell(`Listening to ${file.name}, ${10 * Math.floor(10 * share)} % …`);
  const [picture, found] = await Promise.allSettled([decoded, engine.transcribe(file, decoded, progress, keywords(), commands())]);
  if (found.status === "rejected") throw found.reason;
  if (picture.value) await draw(picture.value);
  view.reach(found.value.seconds);
  found.value.phones.forEach(addPhone);
  found.value.spotted?.forEach(addSpotted);
  found.value.commands?.forEach(addCommand);
  for (const { seconds } of found.value.lost ?? []) lostSeconds += seconds; // in the picture there is silence
  view.rewind();
  at("lines").scrollTop = 0;
  const remarks = (found.value.remarks ?? []).map((remark) => `${file.name}: ${remark}.`);
  if (!picture.value) remarks.push("This browser cannot decode the recording, so there is no picture of it.");
  tell(remarks.join(" "));
  showStatus(found.value.seconds);
  offer(file.name, found.value.seconds, picture.value);
}

// One array of `length` samples from `blocks`.
function joined(blocks, length) {
  const samples = new Float32Array(length);
  let filled = 0;
  for (const block of blocks) {
    samples.set(block, filled);
    filled += block.length;
  }
  return samples;
}

// Adds a recording to the picture, a part at a time, so that the page goes on answering meanwhile.
async function draw({ samples, rate }) {
  const spectrum = new Spectrum(rate);
  const part = PICTURE_SECONDS * rate;
  for (let first = 0; first < samples.length; first += part) {
    view.add(spectrum.push(samples.subarray(first, first + part)));
    await new Promise((resolve) => setTimeout(resolve));
  }
}

// One thing at a time; what goes wrong is told.
async function alone(task) {
  if (busy) return;
  busy = true;
  at("listen").disabled = true;
  document.body.dataset.state = "busy";
  try {
    await task();
  } catch (error) {
    tell(error.message);
  }
  busy = false;
  at("listen").disabled = false;
  document.body.dataset.state = "idle";
}

function setListening(on, commanded = false) {
  at("listen").disabled = false;
  at("listen").setAttribute("aria-pressed", String(on));
  at("listen-label").textContent = on ? "Stop" : "Listen";
  if (at("commands")) at("commands").disabled = on && !commanded; // a stream without any has no endpoints
  document.body.dataset.state = on ? "listening" : "busy";
}

// What is typed while the microphone is heard counts from then on.
at("keywords")?.addEventListener("change", () => listening?.setKeywords(keywords()));
at("commands")?.addEventListener("change", () => listening?.setCommands(commands()));
at("commands")?.addEventListener("keyup", ({ key }) => key === "Enter" && listening?.setCommands(commands()));

at("listen").addEventListener("click", () => (live ? live() : alone(listen)));

at("play").addEventListener("click", () => {
  if (player.playing) return player.stop();
  setPlaying(true);
  player.play(sound, view.begin).catch((error) => tell(error.message));
});

at("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(shownText());
    tell("");
    at("copy").textContent = "Copied";
    setTimeout(() => (at("copy").textContent = "Copy"), 2000);
  } catch {
    tell("This browser does not let the page copy: mark the text and copy it.");
  }
});

for (const button of document.querySelectorAll("[data-format]")) {
  button.addEventListener("click", () => save(button.dataset.format));
}

at("file").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  target.value = "";
  if (file) alone(() => open(file));
});

for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.toggle("over", kind === "dragenter" || kind === "dragover");
    const file = event.dataTransfer?.files[0];
    if (kind === "drop" && file) alone(() => open(file));
  });
}

for (const choice of document.querySelectorAll('input[name="symbols"]')) {
  choice.addEventListener("change", () => choose(choice.value));
}

function choose(which) {
  name = names[which];
  view.show(name);
  for (const mark of document.querySelectorAll("[data-symbol]")) mark.textContent = name(mark.dataset.symbol);
}

// Begins: from now on the page does what it is told, with this recogniser.
export function start(recogniser) {
  engine = recogniser;
  choose(document.querySelector('input[name="symbols"]:checked').value); // browsers remember it over a reload
  document.body.dataset.state = "idle";
}
