// Samples from the microphone and from files, as the browser has them.

import { readWave, tag } from "./wave.js";

const DECODED_RATE = 48000; // Hz, of files of which it cannot be told; Opus is always decoded at this rate
const SILENT = 1000; // milliseconds without a message after which no more are expected
const CANCELLED = 0.1; // of the energy that unrelated channels would leave in their mean: as streaming/audio/channels.py
const MP3_RATES = { 3: [44100, 48000, 32000], 2: [22050, 24000, 16000], 0: [11025, 12000, 8000] }; // by version

// Opens the microphone. `take(samples)` and `lose(count)` are called as audio comes or fails to; `fail(message)`
// once, if the microphone goes away. `capture` is where capture.js is. Returns its rate and how to stop it.
export async function openMicrophone({ take, lose, fail, capture = new URL("capture.js", import.meta.url) }) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Error("Browsers give the microphone only to pages on localhost or over HTTPS.");
  }
  const raw = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 };
  let media;
  try {
    media = await navigator.mediaDevices.getUserMedia({ audio: raw });
  } catch (error) {
    throw new Error(
      error.name === "NotAllowedError"
        ? "The microphone was not allowed. Allow it in the browser's settings of this page, then try again."
        : error.name === "NotFoundError"
          ? "No microphone was found. Connect one, then try again."
          : `The microphone cannot be used: ${error.message}`,
    );
  }
  const context = new AudioContext({ latencyHint: "interactive" });
  let node = null;
  const close = async () => {
    if (node) await drained(node);
    for (const track of media.getTracks()) track.stop();
    if (context.state !== "closed") await context.close();
  };
  let stopped = null;
  const stop = () => (stopped ??= close());
  try {
    await context.audioWorklet.addModule(capture);
    node = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0, channelCount: 1 });
    node.port.addEventListener("message", ({ data }) => {
      if (data.lost) lose(data.lost);
      if (data.samples) take(data.samples);
    });
    node.port.start();
    context.createMediaStreamSource(media).connect(node);
    media.getAudioTracks()[0].onended = () => fail("The microphone went away. Connect it and press Listen again.");
    await context.resume();
  } catch (error) {
    await stop();
    throw error;
  }
  return { rate: context.sampleRate, stop };
}

// Waits until all that the audio thread has taken has come, however long the page was busy; but not for a thread that
// has gone silent.
function drained(node) {
  return new Promise((resolve) => {
    let timer = setTimeout(resolve, SILENT);
    node.port.addEventListener("message", ({ data }) => {
      clearTimeout(timer);
      if (data.ended) resolve();
      else timer = setTimeout(resolve, SILENT);
    });
    node.port.postMessage({ end: true });
  });
}

// A file's samples as { samples, rate, remarks }, all channels mixed, at its own rate where that can be told from the file;
// remarks are lines that a person should read. WAV is read as the command line reads it; the browser decodes all else.
export async function decodeFile(file) {
  const content = await file.arrayBuffer();
  const view = new DataView(content);
  const { channels, rate, remarks } = readWave(view, file.name) ?? (await decoded(file, content, ownRate(view)));
  const samples = mixed(channels);
  if (cancel(channels, samples)) {
    remarks.push(
      `its ${channels.length} channels cancel each other when mixed, so that little is heard; ` +
        "open a file of one of them alone",
    );
  }
  return { samples, rate, remarks };
}

// What the browser decodes, as readWave has it.
async function decoded(file, content, ownRate) {
  try {
    const context = new OfflineAudioContext(1, 1, ownRate ?? DECODED_RATE);
    const audio = await context.decodeAudioData(content);
    const channels = Array.from({ length: audio.numberOfChannels }, (_, i) => audio.getChannelData(i));
    return { channels, rate: audio.sampleRate, remarks: [] };
  } catch {
    throw new Error(`${file.name}: this browser cannot decode it; convert it to WAV, and see that it is whole`);
  }
}

// The mean of channels.
function mixed(channels) {
  if (channels.length === 1) return channels[0];
  const samples = new Float32Array(channels[0].length);
  for (const channel of channels) for (let i = 0; i < samples.length; i++) samples[i] += channel[i];
  return samples.map((sum) => sum / channels.length);
}

// Whether channels cancel each other in their mean, as where one wire of two is swapped.
function cancel(channels, mean) {
  const energy = (samples) => samples.reduce((sum, value) => sum + value * value, 0);
  const all = channels.reduce((sum, channel) => sum + energy(channel), 0);
  return energy(mean) < (CANCELLED * all) / channels.length ** 2;
}

// The rate in Hz of WAV, FLAC, Ogg and MP3, so that the browser need not resample them; undefined of others.
function ownRate(view) {
  if (tag(view, 0) === "RIFF") return view.getUint32(24, true); // where `fmt ` comes first, as it does
  if (tag(view, 0) === "fLaC") return view.getUint32(18) >>> 12;
  if (tag(view, 0) === "OggS") {
    const packet = 27 + view.getUint8(26);
    return tag(view, packet + 1) === "vorb" ? view.getUint32(packet + 12, true) : undefined;
  }
  let at = 0;
  if (tag(view, 0).startsWith("ID3")) {
    at = 10 + [6, 7, 8, 9].reduce((size, byte) => size * 128 + (view.getUint8(byte) & 127), 0);
  }
  if (at + 4 > view.byteLength) return undefined;
  const header = view.getUint32(at);
  const isFrame = header >>> 21 === 0x7ff && ((header >> 17) & 3) === 1; // in step, layer III
  return isFrame ? MP3_RATES[(header >> 19) & 3]?.[(header >> 10) & 3] : undefined;
}
