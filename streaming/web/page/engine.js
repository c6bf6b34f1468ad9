// The recogniser, in this browser: a worker hears what the page sends it, and no audio leaves the machine.

import { start } from "./page.js";

const PIECE_SECONDS = 4; // of a file sent to the worker at a time
const INVITATION = "Press the button and speak, or drop a recording anywhere.";

const hint = document.getElementById("hint");
const streams = new Map(); // by id, what takes the worker's messages
let lastId = 0;

// A worker from a blob's address is under this page's Content-Security-Policy; one from a file's has only what
// headers the server sends, and static servers send none.
const script = `import ${JSON.stringify(new URL("worker.js", import.meta.url).href)};`;
const worker = new Worker(URL.createObjectURL(new Blob([script], { type: "text/javascript" })), { type: "module" });

const ready = new Promise((resolve, reject) => {
  worker.onmessage = ({ data }) => {
    if (data.loaded !== undefined) hint.textContent = `Loading the model, ${Math.floor(100 * data.loaded)} %`;
    else if (data.ready) resolve();
    else if (data.broken) reject(new Error(`The recogniser cannot start: ${data.broken}.`));
    else streams.get(data.id)?.(data);
  };
  worker.onerror = (event) => {
    event.preventDefault();
    const error = new Error(`The recogniser has stopped (${event.message || "its script cannot be loaded"}). Reload the page.`);
    reject(error);
    for (const [id, take] of streams) take({ id, error: error.message });
  };
});

// Opens a stream of `rate` Hz. `onEvent` gets each event; the promise `done` gives the stream's seconds, or fails.
// Keywords are what a server looks for.
async function openStream(rate, onEvent, _keywords = [], onHeard = () => {}) {
  await ready;
  const id = ++lastId;
  let sent = 0; // samples, lost ones too
  let heard = 0; // seconds
  const done = new Promise((resolve, reject) => {
    streams.set(id, ({ phones, tentative, heard: seconds, final, error }) => {
      phones?.forEach((phone) => onEvent({ event: "phone", ...phone }));
      if (tentative) onEvent({ event: "tentative", phones: tentative });
      if (seconds !== undefined) onHeard((heard = seconds));
      if (final !== undefined) resolve(final);
      if (error) reject(new Error(error));
    });
  });
  const forget = () => streams.delete(id);
  done.then(forget, forget);
  worker.postMessage({ id, open: rate });
  return {
    done,
    behind: () => Math.max(0, sent / rate - heard),
    send(samples) {
      sent += samples.length;
      worker.postMessage({ id, samples });
    },
    gap(count) {
      onEvent({ event: "lost", start: sent / rate, seconds: count / rate });
      sent += count;
      worker.postMessage({ id, gap: count });
    },
    finish() {
      worker.postMessage({ id, finish: true });
    },
  };
}

// All phonemes of a file: { seconds, phones }. `decoded` promises its samples, `onProgress` gets shares of it.
async function transcribe(file, decoded, onProgress) {
  const { samples, rate } = await decoded;
  const phones = [];
  let turn = () => {}; // called when the worker has heard more
  const stream = await openStream(rate, (event) => event.event === "phone" && phones.push(event), [], (heard) => {
    onProgress((heard * rate) / samples.length);
    turn();
  });
  const piece = PIECE_SECONDS * rate;
  for (let first = 0; first < samples.length; first += piece) {
    stream.send(samples.slice(first, first + piece));
    while (stream.behind() > 2 * PIECE_SECONDS) {
      await Promise.race([stream.done, new Promise((resolve) => (turn = resolve))]);
    }
  }
  stream.finish();
  return { seconds: await stream.done, phones };
}

// At hand before it is needed, so that the microphone can be opened with the network off.
async function loadCapture() {
  const response = await fetch(new URL("capture.js", import.meta.url));
  return URL.createObjectURL(new Blob([await response.text()], { type: "text/javascript" }));
}

const capture = loadCapture();
capture.catch(() => {}); // whoever awaits it hears of it
hint.textContent = "Loading the model";
ready.then(
  () => (hint.textContent = INVITATION),
  (error) => (hint.textContent = error.message),
);
start({ openStream, transcribe, capture, waiting: "Loading the model …" });
