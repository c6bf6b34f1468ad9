// The recogniser, on a thread of its own, so that the page stays smooth while it works.
//
// It answers { loaded } from 0 to 1 while it gets ready, and once { ready } or { broken: message }. Then it may be told
// { open: rate, keywords, threshold }, { samples }, { gap }, { set: keywords, threshold }, { finish } and { close }, each with
// the stream's `id`, and answers for that stream with { events, tentative, heard: seconds }, { set: keywords, start } or
// { refused: message }, and at its end { final: seconds } or { error: message }.

import * as ort from "./onnxruntime/ort.wasm.bundle.min.js";
import { BeamDecoder } from "./beam.js";
import { Decoder } from "./decode.js";
import { parseKeywords, readDictionary } from "./keywords.js";
import { readPhoneLM } from "./phone_lm.js";
import { Model, Stream } from "./recognizer.js";
import { Spotter } from "./spotter.js";

const queue = []; // of what came and was not dealt with yet
const streams = new Map(); // by id
let model = null;
let openSpotter = null; // promises what makes a stream's spotter, of phrases and a threshold
let working = false;

self.onmessage = ({ data }) => {
  queue.push(data);
  if (!working) work();
};

// Deals with the queue. What has gathered meanwhile goes through the graph together, which is cheaper:
// so whoever falls behind catches up.
async function work() {
  working = true;
  while (queue.length) {
    const message = queue.shift();
    await alone(message.id, () => obey(message));
    if (!queue.length) for (const id of [...streams.keys()]) await alone(id, () => advance(id));
  }
  working = false;
}

// What goes wrong ends its own stream.
async function alone(id, task) {
  try {
    await task();
  } catch (error) {
    streams.delete(id);
    postMessage({ id, error: error.message });
  }
}

async function obey({ id, open, keywords, threshold, samples, gap, set, finish, close }) {
  if (open) streams.set(id, new Stream(model, open, (await spotter(keywords, threshold)) ?? undefined));
  if (close) streams.delete(id);
  const stream = streams.get(id);
  if (!stream) return; // it has failed or was given up
  if (samples) {
    stream.hear(samples);
    if (stream.ready(true)) await advance(id);
  }
  for (let left = gap ?? 0; left > 0; left -= stream.rate) {
    stream.hear(new Float32Array(Math.min(left, stream.rate))); // a second at a time, so that memory stays bounded
    await advance(id);
  }
  if (set) await setKeywords(id, set, threshold);
  if (finish) {
    await advance(id);
    report(id, await stream.finish());
    postMessage({ id, final: stream.seconds });
    streams.delete(id);
  }
}

// What makes a stream's spotter, or null without keywords.
async function spotter(keywords, threshold) {
  if (!keywords?.length) return null;
  if (!openSpotter) throw new Error("This page was exported without what keywords need: see static-page.md.");
  return openSpotter(keywords, threshold);
}

// After all that came before; keywords that are none leave those that there were.
async function setKeywords(id, keywords, threshold) {
  let wanted;
  try {
    wanted = await spotter(keywords, threshold);
  } catch (error) {
    return postMessage({ id, refused: error.message });
  }
  await advance(id);
  postMessage({ id, set: keywords, start: streams.get(id).setKeywords(wanted) });
}

async function advance(id) {
  const stream = streams.get(id);
  while (stream.ready(false)) report(id, await stream.advance());
}

function report(id, events) {
  const { decoder, heard } = streams.get(id);
  postMessage({ id, events, tentative: decoder.tentative(), heard });
}

async function load() {
  const { metadata, model: file, runtime, search, spotting } = await (await get("model.json")).json();
  const files = new Map([file, runtime, search?.lm, spotting?.lm, spotting?.dictionary].map((one) => [one?.url, one?.bytes ?? 0]));
  const total = [...files.values()].reduce((sum, bytes) => sum + bytes);
  let loaded = 0;
  const progress = (bytes) => postMessage({ loaded: (loaded += bytes) / total });
  const graph = await download(file.url, file.bytes, progress);
  const wasm = await download(runtime.url, runtime.bytes, progress);
  const readLM = async ({ url, bytes }) => readPhoneLM(await download(url, bytes, progress));
  const lm = search && (await readLM(search.lm));
  if (spotting) {
    const spottingLM = search?.lm.url === spotting.lm.url ? lm : await readLM(spotting.lm);
    openSpotter = spotters(metadata, spotting, spottingLM, await download(spotting.dictionary.url, spotting.dictionary.bytes, progress));
  }
  const newDecoder = () => (search ? new BeamDecoder(metadata, search.settings, lm) : new Decoder(metadata));
  ort.env.logLevel = "error"; // its warnings are about processors and the optimiser's choices
  ort.env.wasm.numThreads = 1; // more would need headers that few static servers send
  ort.env.wasm.wasmBinary = wasm.buffer;
  const session = await ort.InferenceSession.create(graph, { executionProviders: ["wasm"] });
  const opened = new Model(session, ort.Tensor, metadata, newDecoder);
  await opened.run(new Float32Array(metadata.frame_samples), opened.initialState()); // it fits its metadata
  return opened;
}

// What makes spotters; the dictionary is read when the first is asked for.
function spotters({ phones }, { settings }, lm, file) {
  let dictionary = null;
  return async (phrases, threshold = settings.threshold) => {
    const keywords = parseKeywords(phrases, threshold, await (dictionary ??= readDictionary(file)), phones, settings);
    return (decoder) => new Spotter(decoder, settings, lm, keywords);
  };
}

// The whole of a file of this page, `bytes` long.
async function download(url, bytes, progress) {
  const response = await get(url);
  const content = new Uint8Array(bytes);
  let filled = 0;
  const reader = response.body.getReader();
  for (let piece; !(piece = await reader.read()).done; ) {
    if (filled + piece.value.length > bytes) break;
    content.set(piece.value, filled);
    filled += piece.value.length;
    progress(piece.value.length);
  }
  if (filled !== bytes) throw new Error(`${name(url)} is not the file that was exported: copy the whole folder again`);
  return content;
}

async function get(url) {
  let response;
  try {
    response = await fetch(new URL(url, import.meta.url));
  } catch {
    throw new Error(`${name(url)} cannot be loaded: the server of this page does not answer`);
  }
  if (!response.ok) throw new Error(`${name(url)} cannot be loaded (${response.status}): copy the whole folder again`);
  return response;
}

// Of a file, without what is there to get past a cache.
function name(url) {
  return url.split("?")[0];
}

try {
  model = await load();
  postMessage({ ready: true });
} catch (error) {
  postMessage({ broken: error.message });
}
