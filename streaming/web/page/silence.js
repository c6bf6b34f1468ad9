// What blank stretches add to the model's sums over the past is taken back, as in streaming/silence.py.

export class Silence {
  // `quiet` counts the blank frames up to the present one; `sums` are the model's at the beginning of the interval going
  // on, while it may turn out silent, and else null. `rule` is the metadata's, or null.
  constructor(rule, quiet = 0, sums = null) {
    Object.assign(this, { rule, quiet, sums });
  }

  // Whether the interval going on after `frame` frames, or beginning there, may turn out silent.
  possible(frame) {
    return this.rule !== null && this.quiet >= this.rule.after_frames + (frame % this.rule.interval_frames);
  }

  // How many of `ready` frames may go through the graph in the next call: those up to the end of such an interval.
  most(frame, ready) {
    if (!this.possible(frame)) return ready;
    return Math.min(ready, this.rule.interval_frames - (frame % this.rule.interval_frames));
  }

  // How many of the frames of a call stand: those before the first interval in it that may turn out silent.
  valid(frame, blanks) {
    if (this.rule === null) return blanks.length;
    const { interval_frames: interval, after_frames } = this.rule;
    let { quiet } = this;
    for (let done = 0; done < blanks.length; done++) {
      if (done && (frame + done) % interval === 0 && quiet >= after_frames) {
        if (blanks.slice(done, done + interval).every(Boolean)) return done;
      }
      quiet = blanks[done] ? quiet + 1 : 0;
    }
    return blanks.length;
  }

  // What is known after a call of valid frames, and the sums that take the place of the model's, or null.
  after(frame, blanks) {
    if (this.rule === null) return { silence: this, sums: null };
    const last = blanks.lastIndexOf(false);
    if (last >= 0) return { silence: new Silence(this.rule, blanks.length - 1 - last), sums: null };
    const { sums } = this;
    const silence = new Silence(this.rule, this.quiet + blanks.length, sums);
    return { silence, sums: (frame + blanks.length) % this.rule.interval_frames ? null : sums };
  }

  // The same, with the sums of the model's `state` where an interval begins that may turn out silent.
  remember(frame, state) {
    if (this.sums || !this.possible(frame) || frame % this.rule.interval_frames) return this;
    const sums = Object.fromEntries(this.rule.states.map((name) => [name, state[name]]));
    return new Silence(this.rule, this.quiet, sums);
  }

  // The model's `state` with `sums` in place of its own, but for those of the first heads if they fade by themselves.
  // Of a tensor, `[1, heads, ...]`, `data` is the values and `dims` the shape.
  putBack(state, sums) {
    const heads = this.rule?.fading_heads ?? 0;
    if (heads) {
      sums = Object.entries(sums).map(([name, { type, data, dims }]) => {
        const own = (data.length / dims[1]) * heads;
        const mixed = data.slice();
        mixed.set(state[name].data.subarray(0, own));
        return [name, new state[name].constructor(type, mixed, dims)];
      });
      sums = Object.fromEntries(sums);
    }
    return { ...state, ...sums };
  }
}

// Which of `frames` frames are blank: those whose rows all are, and the first `early` ones.
export function blankFrames(rows, frames, { silence, blank, rows_per_frame }, columns, early) {
  if (silence === null) return new Array(frames).fill(false);
  const least = Math.fround(Math.log(silence.blank_probability));
  return Array.from({ length: frames }, (_, frame) => {
    if (frame < early) return true;
    for (let row = frame * rows_per_frame; row < (frame + 1) * rows_per_frame; row++) {
      if (!(rows[row * columns + blank] > least)) return false;
    }
    return true;
  });
}
