// A stream: samples in, phonemes, keywords and commands out, by the same steps as streaming/state.py.

import { Commanding } from "./command_state.js";
import { best } from "./decode.js";
import { Endpoints } from "./endpoint.js";
import { Resampler } from "./resample.js";
import { Silence, blankFrames } from "./silence.js";

const MOST_LEVEL = 16; // 24 dB above full scale; decoders overshoot a little
const BLOCK_SECONDS = 4; // of audio in one call of the graph at most: attention is quadratic in a call's frames

export class Model {
  // `session` and `Tensor` are ONNX Runtime's; `newDecoder()` makes what turns a stream's rows into phonemes.
  constructor(session, Tensor, metadata, newDecoder) {
    Object.assign(this, { session, Tensor, metadata, newDecoder });
    const frame = metadata.frame_samples;
    this.block = Math.max(1, Math.floor((BLOCK_SECONDS * metadata.sample_rate) / frame)) * frame; // samples
  }

  // The graph's state before the first frame: a tensor for each name.
  initialState() {
    const state = {};
    for (const { name, shape } of this.metadata.states) {
      const sized = shape.map((size) => (size === "batch" ? 1 : size));
      const values = new Float32Array(sized.reduce((product, size) => product * size, 1));
      state[name] = new this.Tensor("float32", values, sized);
    }
    return state;
  }

  // Whole frames of `audio` to rows of log-probabilities, one behind the other, and the next state.
  async run(audio, state) {
    const found = await this.session.run({ audio: new this.Tensor("float32", audio, [1, audio.length]), ...state });
    const rows = found.log_probs.data;
    if (!rows.every(Number.isFinite)) throw new Error("The model returned NaN or infinity: its weights are unusable.");
    const following = this.metadata.states.map(({ name }) => [name, found[`next_${name}`]]);
    return { rows, following: Object.fromEntries(following) };
  }
}

export class Stream {
  // `newSpotter(decoder)` makes what looks for keywords, or null. `commands` is a `CommandRecognizer`, which is asked at
  // endpoints by `rules`, or null: then there are none of these either.
  constructor(model, rate, newSpotter = () => null, commands = null, rules = []) {
    this.model = model;
    this.rate = rate;
    this.resampler = new Resampler(rate, model.metadata.sample_rate);
    this.decoder = model.newDecoder();
    this.spotter = newSpotter(this.decoder);
    const { blank, tiling } = this.decoder;
    this.endpoints = commands && new Endpoints(rules, blank, tiling.rowSeconds);
    this.commanding = commands && new Commanding(commands);
    this.state = model.initialState();
    this.pending = new Float32Array(0); // at the model's rate, not heard yet
    this.frames = 0; // that the graph has heard
    this.rows = 0; // that are decoded
    this.silence = new Silence(model.metadata.silence).remember(0, this.state);
    this.received = 0; // samples so far, lost ones included
  }

  get seconds() {
    return this.received / this.rate;
  }

  // Seconds of the stream that the graph has heard.
  get heard() {
    const { frame_samples, sample_rate } = this.model.metadata;
    return Math.min(this.seconds, (this.frames * frame_samples) / sample_rate);
  }

  // Whether a block, or with `whole` false at least a frame, waits to be run.
  ready(whole) {
    return this.pending.length >= (whole ? this.model.block : this.model.metadata.frame_samples);
  }

  // Takes in the next samples; `advance` hears them.
  hear(samples) {
    if (!samples.every((value) => Math.abs(value) <= MOST_LEVEL)) {
      throw new Error("The audio has samples that are not numbers, or far beyond full scale.");
    }
    this.received += samples.length;
    this.pending = joined(this.pending, this.resampler.push(samples));
  }

  // Runs frames that wait, at most a block of them, and returns the phonemes, keywords and commands that are now certain.
  async advance() {
    const { frame_samples: frame, look_ahead_frames, rows_per_frame } = this.model.metadata;
    const columns = this.decoder.symbols.length;
    const early = Math.max(0, look_ahead_frames - this.frames);
    const ready = Math.min(Math.floor(this.pending.length / frame), this.model.block / frame);
    const most = this.silence.most(this.frames, ready);
    let [count, valid, result, blanks] = [0, most];
    while (valid !== count) {
      count = valid;
      result = await this.model.run(this.pending.slice(0, count * frame), this.state);
      blanks = blankFrames(result.rows, count, this.model.metadata, columns, early);
      valid = this.silence.valid(this.frames, blanks);
    }
    const { silence, sums } = this.silence.after(this.frames, blanks);
    this.pending = this.pending.slice(count * frame);
    this.state = silence.putBack(result.following, sums ?? {});
    this.frames += count;
    this.silence = silence.remember(this.frames, this.state);
    // Rows come late by the look-ahead: the first ones speak of the time before the stream began.
    return this.decode(result.rows.subarray(Math.min(count, early) * rows_per_frame * columns));
  }

  // Other keywords from the next row on, or with null none; everything whole has been heard. Returns the seconds of that row.
  setKeywords(newSpotter) {
    this.spotter = newSpotter?.(this.decoder).begin(this.spotter, this.rows) ?? null;
    return this.decoder.tiling.seconds(this.rows);
  }

  // Other commands from the next row on, or with null none; everything whole has been heard. The utterance that goes on is
  // compared with the new ones, as far as it was kept; there must be endpoints. Returns the seconds of that row.
  setCommands(commands) {
    if (commands && this.commanding) this.commanding.recognizer = commands;
    else this.commanding = commands && new Commanding(commands, this.rows);
    return this.decoder.tiling.seconds(this.rows);
  }

  // With keywords or endpoints a row at a time: they come among the phonemes of their time.
  decode(rows) {
    const columns = this.decoder.symbols.length;
    if (!this.spotter && !this.endpoints) {
      this.rows += rows.length / columns;
      return this.decoder.decode(rows);
    }
    const events = [];
    for (let first = 0; first < rows.length; first += columns) {
      const row = rows.subarray(first, first + columns);
      events.push(...this.decodeRow(row), ...(this.spotter?.decode(row) ?? []));
      this.rows += 1;
    }
    return events;
  }

  // The phonemes of the next row, and where it ends an utterance the endpoint and the command that it was.
  decodeRow(row) {
    const ending = this.endpoints?.decode(best(row));
    if (!ending) {
      this.commanding?.decode(row);
      return this.decoder.decode(row);
    }
    const [before, behind] = this.decoder.decodeEnd(row, ending.time);
    const within = ending.time > this.rows;
    if (within) this.commanding?.decode(row);
    const told = this.commanding?.finish(ending.time) ?? [];
    if (!within) this.commanding?.decode(row);
    return [...before, this.endpoint(ending), ...told, ...behind];
  }

  endpoint({ time, start, silence, rule }) {
    const { tiling } = this.decoder;
    const seconds = (row) => (row ? tiling.seconds(row) : 0); // the first utterance begins with the stream
    return { event: "endpoint", time: tiling.seconds(time), start: seconds(start), silence: silence * tiling.rowSeconds, rule };
  }

  // Ends the stream and returns its last phonemes, keywords and command, none of which ends after the audio.
  async finish() {
    if (this.received === 0) return [];
    const { frame_samples: frame, look_ahead_frames } = this.model.metadata;
    const audio = joined(this.pending, this.resampler.flush());
    const frames = Math.ceil(audio.length / frame) + look_ahead_frames;
    this.pending = joined(audio, new Float32Array(frames * frame - audio.length));
    const events = [];
    while (this.ready(false)) events.push(...(await this.advance()));
    events.push(...this.decoder.finish(this.seconds), ...(this.spotter?.finish() ?? []), ...(this.commanding?.finish(this.rows) ?? []));
    const within = (event) => {
      for (const key of ["start", "end", "peak", "time"]) if (key in event) event[key] = Math.min(event[key], this.seconds);
      return event;
    };
    return events.map((event) => within({ ...event }));
  }
}

function joined(first, second) {
  if (!first.length) return second;
  const all = new Float32Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}
