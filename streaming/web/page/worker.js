// The recogniser, on a thread of its own, so that the page stays smooth while it works.
//
// It answers { loaded } from 0 to 1 while it gets ready, and once { ready } or { broken: message }. Then it may be told
// { open: rate, keywords, commands, threshold }, { samples }, { gap }, { set: "keywords" or "commands", phrases, threshold },
// { finish } and { close }, each with the stream's `id`, and answers for that stream with { events, tentative, heard: seconds },
// { set, phrases, start } or { refused: message }, and at its end { final: seconds } or { error: message }.

import * as ort from "./onnxruntime/ort.wasm.bundle.min.js";
import { BeamDecoder } from "./beam.js";
import { CommandRecognizer, parseCommands } from "./commands.js";
import { Decoder } from "./decode.js";
import { parseKeywords, readDictionary } from "./keywords.js";
import { readPhoneLM } from "./phone_lm.js";
import { Model, Stream } from "./recognizer.js";
import { Spotter } from "./spotter.js";

const queue = []; // of what came and was not dealt with yet
const streams = new Map(); // by id
let model = null;
let makers = null; // functions `keywords` and `commands`, which promise what a stream has of phrases and a threshold
let rules = []; // that end an utterance
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

async function obey({ id, open, keywords, commands, threshold, samples, gap, set, phrases, finish, close }) {
  if (open) {
    const newSpotter = (await wanted("keywords", keywords, threshold)) ?? undefined;
    streams.set(id, new Stream(model, open, newSpotter, await wanted("commands", commands, threshold), rules));
  }
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
  if (set) await change(id, set, phrases, threshold);
  if (finish) {
    await advance(id);
    report(id, await stream.finish());
    postMessage({ id, final: stream.seconds });
    streams.delete(id);
  }
}

// A stream's new spotter of keywords, as a function, or its `CommandRecognizer`; null without any phrases.
async function wanted(kind, phrases, threshold) {
  if (!phrases?.length) return null;
  if (!makers) throw new Error(`This page was exported without what ${kind} need: see static-page.md.`);
  return makers[kind](phrases, threshold);
}

// After all that came before; what cannot be had leaves the keywords or commands that there were.
async function change(id, kind, phrases, threshold) {
  const stream = streams.get(id);
  let made;
  try {
    made = await wanted(kind, phrases, threshold);
    if (kind === "commands" && made && !stream.endpoints) {
      throw new Error("Commands are told at endpoints, and the stream has none: open it with commands.");
    }
  } catch (error) {
    return postMessage({ id, refused: error.message });
  }
  await advance(id);
  const start = kind === "commands" ? stream.setCommands(made) : stream.setKeywords(made);
  postMessage({ id, set: kind, phrases, start });
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
    const { url, bytes } = spotting.dictionary;
    makers = phraseMakers(metadata, spotting.settings, spottingLM, await download(url, bytes, progress));
    rules = spotting.settings.endpoint_rules;
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

// What makes spotters and command recognizers; the dictionary is read when the first is asked for.
function phraseMakers({ phones }, settings, lm, file) {
  let dictionary = null;
  const read = () => (dictionary ??= readDictionary(file));
  return {
    async keywords(phrases, threshold = settings.threshold) {
      const keywords = parseKeywords(phrases, threshold, await read(), phones, settings);
      return (decoder) => new Spotter(decoder, settings, lm, keywords);
    },
    async commands(phrases, threshold) {
      const commands = parseCommands(phrases, await read(), phones, settings);
      return new CommandRecognizer(model.newDecoder(), settings.commands, commands, threshold);
    },
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
