// Samples from the microphone and from files, as the browser has them.

const DECODED_RATE = 48000; // Hz, of files of which it cannot be told; Opus is always decoded at this rate
const SILENT = 1000; // milliseconds without a message after which no more are expected
const UNKNOWN_SIZE = 0x7ffff000; // of a WAV file's samples, from here up: as streaming/audio/containers/sized.py has it
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

// A file's samples as { samples, rate }, all channels mixed, at its own rate where that can be told from the file.
// WAV is read here, as the command line reads it; the browser decodes all else.
export async function decodeFile(file) {
  const content = await file.arrayBuffer();
  const view = new DataView(content);
  if (tag(view, 0) === "RIFF" && tag(view, 8) === "WAVE") {
    const wave = readWave(view, file.name);
    if (wave) return wave;
  }
  try {
    const context = new OfflineAudioContext(1, 1, ownRate(view) ?? DECODED_RATE);
    const audio = await context.decodeAudioData(content);
    const channels = Array.from({ length: audio.numberOfChannels }, (_, i) => audio.getChannelData(i));
    return { samples: mixed(channels, audio.length), rate: audio.sampleRate };
  } catch {
    throw new Error(`${file.name}: this browser cannot decode it; convert it to WAV, and see that it is whole`);
  }
}

// The mean of channels of `length` samples each.
function mixed(channels, length) {
  if (channels.length === 1) return channels[0];
  const samples = new Float32Array(length);
  for (const channel of channels) for (let i = 0; i < length; i++) samples[i] += channel[i];
  return samples.map((sum) => sum / channels.length);
}

// The samples of a WAV file of plain numbers, null of one with a codec.
function readWave(view, name) {
  let format = null;
  for (let at = 12; at + 8 <= view.byteLength; ) {
    const size = view.getUint32(at + 4, true);
    const body = at + 8;
    if (tag(view, at) === "fmt " && body + 16 <= view.byteLength) {
      const code = view.getUint16(body, true);
      format = {
        code: code === 0xfffe && size >= 26 ? view.getUint16(body + 24, true) : code,
        count: view.getUint16(body + 2, true),
        rate: view.getUint32(body + 4, true),
        bits: view.getUint16(body + 14, true),
      };
    } else if (tag(view, at) === "data") {
      const reader = format && sampleReader(view, format);
      if (!reader || !format.count) return null;
      const step = (format.bits / 8) * format.count;
      const endless = size >= UNKNOWN_SIZE; // a program that could not go back to write the length
      if (!endless && body + size > view.byteLength) {
        const seconds = (view.byteLength - body) / step / format.rate;
        throw new Error(`${name}: breaks off after ${seconds.toFixed(2)} s; copy or download it again`);
      }
      const next = body + size + (size % 2);
      if (!endless && next + 8 <= view.byteLength && tag(view, next) === "data") {
        throw new Error(`${name}: holds a second part of audio, which would be lost; make it one`);
      }
      const length = Math.floor((endless ? view.byteLength - body : size) / step);
      if (!length) throw new Error(`${name}: holds no samples`);
      const channels = Array.from({ length: format.count }, (_, channel) => {
        const samples = new Float32Array(length);
        const first = body + (format.bits / 8) * channel;
        for (let i = 0; i < length; i++) samples[i] = reader(first + i * step);
        return samples;
      });
      return { samples: mixed(channels, length), rate: format.rate };
    }
    at = body + size + (size % 2);
  }
  return null;
}

// What reads the sample that begins at a byte, in [-1, 1]; undefined for a codec.
function sampleReader(view, { code, bits }) {
  const integers = {
    8: (at) => (view.getUint8(at) - 128) / 128,
    16: (at) => view.getInt16(at, true) / 2 ** 15,
    24: (at) => (view.getUint16(at, true) + view.getInt8(at + 2) * 65536) / 2 ** 23,
    32: (at) => view.getInt32(at, true) / 2 ** 31,
  };
  const floats = { 32: (at) => view.getFloat32(at, true), 64: (at) => view.getFloat64(at, true) };
  return { 1: integers, 3: floats }[code]?.[bits];
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

// Four characters of a file.
function tag(view, at) {
  if (at + 4 > view.byteLength) return "";
  return String.fromCharCode(...[0, 1, 2, 3].map((i) => view.getUint8(at + i)));
}
