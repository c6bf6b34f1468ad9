// The page's recogniser, in this browser.

import { start } from "./page.js";
import { Recognizer } from "./phonestream.js";

const INVITATION = "Press the button and speak, or drop a recording anywhere.";

const hint = document.getElementById("hint");

// At hand before it is needed, so that the microphone can be opened with the network off.
async function loadCapture() {
  const response = await fetch(new URL("capture.js", import.meta.url));
  return URL.createObjectURL(new Blob([await response.text()], { type: "text/javascript" }));
}

hint.textContent = "Loading the model";
const ready = Recognizer.load((share) => (hint.textContent = `Loading the model, ${Math.floor(100 * share)} %`));
const capture = loadCapture();
capture.catch(() => {}); // whoever awaits it hears of it
ready.then(
  () => (hint.textContent = INVITATION),
  (error) => (hint.textContent = error.message),
);

async function openStream(rate, onEvent, keywords, commands) {
  return (await ready).stream(rate, onEvent, { keywords, commands });
}

async function transcribe(_file, decoded, onProgress, keywords, commands) {
  const { samples, rate, remarks } = await decoded;
  return { ...(await (await ready).transcribe(samples, rate, onProgress, { keywords, commands })), remarks };
}

start({ openStream, transcribe, capture, waiting: "Loading the model …" });
