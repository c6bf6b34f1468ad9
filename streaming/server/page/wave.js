// WAV as the command line reads it: what streaming/audio/containers/sized.py refuses is refused, what it remarks is told.

const UNKNOWN_SIZE = 0x7ffff000; // of a WAV file's samples, from here up: written by a program that did not know it yet
const TAGS = ["TAG", "APETAGEX", "LYRICSBEGIN", "ID3", "3DI"]; // how what may stand behind the samples begins
const AGAIN = "copy or download it again";

// Of a WAV file of plain numbers { channels, rate, remarks }, a Float32Array for each channel; null of one with a codec, and
// of what is no WAV.
export function readWave(view, name) {
  if (tag(view, 0) !== "RIFF" || tag(view, 8) !== "WAVE") return null;
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
      const { bytes, remarks } = extent(view, body, size, step * format.rate, name);
      const length = Math.floor(bytes / step);
      if (!length) throw new Error(`${name}: holds no samples, or its recording was interrupted`);
      const channels = Array.from({ length: format.count }, (_, channel) => {
        const samples = new Float32Array(length);
        const first = body + (format.bits / 8) * channel;
        for (let i = 0; i < length; i++) samples[i] = reader(first + i * step);
        return samples;
      });
      return { channels, rate: format.rate, remarks };
    }
    at = body + size + (size % 2);
    if (at > view.byteLength + 1) throw new Error(`${name}: is damaged or breaks off inside its header; ${AGAIN}`);
  }
  return null;
}

// How many bytes of samples begin at `start`, and remarks on them, where the header says `size`; `rate` is bytes a second.
function extent(view, start, size, rate, name) {
  const there = view.byteLength - start;
  if (size >= UNKNOWN_SIZE) return { bytes: there, remarks: [] };
  if (size > there) {
    const [seconds, promised] = [there / rate, size / rate].map((value) => value.toFixed(2));
    throw new Error(`${name}: breaks off after ${seconds} of ${promised} s; ${AGAIN}`);
  }
  if (!isMore(view, start + size, name)) return { bytes: size, remarks: [] };
  const remark =
    `more bytes follow the ${size} of audio that its header states: ${there - size}; ` +
    "it was not brought up to date, and they are heard too";
  return { bytes: there, remarks: [remark] };
}

// Whether what follows the samples is neither chunk nor tag nor padding.
function isMore(view, end, name) {
  const byte = (at) => view.getUint8(at);
  const at = end % 2 && end < view.byteLength && byte(end) === 0 ? end + 1 : end; // chunks begin at even bytes
  if (at + 8 > view.byteLength) return false;
  if (TAGS.some((begin) => text(view, at, begin.length) === begin)) return false;
  if (/^[ -~]{4}$/.test(tag(view, at))) {
    if (["data", "SSND"].includes(tag(view, at))) {
      throw new Error(`${name}: holds a second part of audio at byte ${at}, which would be lost; make it one`);
    }
    if (at + 8 + view.getUint32(at + 4, true) <= view.byteLength + 1) return false;
  }
  for (let i = at; i < view.byteLength; i++) if (byte(i)) return true;
  return false;
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

// Four characters of a file.
export function tag(view, at) {
  return text(view, at, 4);
}

function text(view, at, length) {
  if (at + length > view.byteLength) return "";
  return String.fromCharCode(...Array.from({ length }, (_, i) => view.getUint8(at + i)));
}
