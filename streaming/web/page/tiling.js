// From the rows in which CTC spikes stand to the times at which phonemes begin and end: the rule of streaming/tiling.py.

const ONSET = 0.07; // seconds; tiling.py says of what
const LEAD = 0.05;
const TAIL = 0.11;
const PAUSE = 0.12;
const EDGE = 0.05;

// A spike is { start, end, phone }: its first row, the row behind its last, and what is known of the phoneme but times.
export class Tiling {
  // `metadata` is the model's own.
  constructor({ frame_samples, rows_per_frame, sample_rate, time_offset_seconds }) {
    this.rowSeconds = frame_samples / rows_per_frame / sample_rate;
    this.offset = time_offset_seconds;
    this.until = 0; // where the last phoneme ended, in seconds
    this.floor = 0; // where the utterance began: no phoneme begins before
    this.held = null; // a phoneme that has no end yet: { spike, begin }
  }

  // Where a row begins on the audio clock.
  seconds(row) {
    return Math.max(0, row * this.rowSeconds - this.offset);
  }

  // The phonemes that end where the next of `spikes` begin.
  add(spikes) {
    const done = [];
    for (const spike of spikes) {
      let begin;
      if (this.held) {
        const [end, next] = this.between(this.held.spike, spike);
        done.push(this.end(end));
        begin = next;
      } else {
        begin = this.onset(spike);
        if (begin - this.until < (this.until ? PAUSE : EDGE)) begin = this.until;
      }
      this.held = { spike, begin: Math.max(begin, this.until, this.floor) };
    }
    return done;
  }

  // The phoneme that is held, though what follows is not final: `following` is a guess, null is silence, and no later
  // phoneme has its peak before `bound`, in seconds.
  release(following, bound) {
    if (!this.held) return [];
    const { spike } = this.held;
    const end = following ? this.between(spike, following)[0] : this.tail(spike);
    return [this.end(Math.min(end, bound))];
  }

  // The phoneme that is held when an utterance or the stream ends at `seconds`; what follows is the next utterance.
  finish(seconds) {
    this.floor = seconds;
    if (!this.held) return [];
    const end = this.tail(this.held.spike);
    return [this.end(seconds - end >= EDGE ? end : seconds)];
  }

  // What is held and those of `spikes`, if the stream ended at `seconds`; nothing changes.
  finished(spikes, seconds) {
    const after = Object.assign(Object.create(Tiling.prototype), this);
    return [...after.add(spikes), ...after.finish(seconds)];
  }

  // Whether a phoneme that begins in `row` or later is behind a silence.
  certain(row) {
    return this.held !== null && this.seconds(row) - LEAD - this.tail(this.held.spike) >= PAUSE;
  }

  middle({ start, end }) {
    return (this.seconds(start) + this.seconds(end)) / 2;
  }

  end(time) {
    const { spike, begin } = this.held;
    const { symbol, ...known } = spike.phone;
    this.until = Math.max(begin, time);
    this.held = null;
    return { symbol, start: begin, end: this.until, ...known, peak: this.middle(spike) };
  }

  tail(spike) {
    return Math.max(this.middle(spike) + TAIL, this.seconds(spike.end));
  }

  onset(spike) {
    return Math.max(0, Math.min(this.middle(spike) - LEAD, this.seconds(spike.start)));
  }

  // Where the earlier of two neighbours ends and where the later begins.
  between(first, second) {
    const [end, begin] = [this.tail(first), this.onset(second)];
    if (begin - end >= PAUSE) return [end, begin];
    const [left, right] = [this.middle(first), this.middle(second)];
    const border = right - Math.min((right - left) / 2, ONSET);
    return [border, border];
  }
}
