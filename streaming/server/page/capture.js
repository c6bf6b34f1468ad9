// The audio thread's part: hands on what the microphone brings, with the place of each block in time. A message to it
// ends this: what it has not handed on yet comes, and after it { ended }.
// A jump of the thread's clock is audio that never came; the page tells the server how much.

const BLOCK_SECONDS = 0.04;
const STARTING_SECONDS = 0.1; // in which the clock jumps once while the device starts, and no audio is missed

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(Math.round(BLOCK_SECONDS * sampleRate));
    this.filled = 0;
    this.first = null; // frame that came first
    this.next = null; // frame that must come next
    this.ended = false;
    this.port.onmessage = () => {
      this.flush();
      this.ended = true;
      this.port.postMessage({ ended: true });
    };
  }

  process([input]) {
    if (this.ended) return false;
    const samples = input[0]; // none while the microphone is not connected
    const length = samples ? samples.length : 128;
    if (!samples && this.next === null) return true; // nothing has come yet that could be cut
    this.first ??= currentFrame;
    const starting = currentFrame < this.first + STARTING_SECONDS * sampleRate;
    if (this.next !== null && currentFrame > this.next && !starting) {
      this.flush();
      this.port.postMessage({ lost: currentFrame - this.next });
    }
    this.next = currentFrame + length;
    let taken = 0;
    while (samples && taken < length) {
      const piece = samples.subarray(taken, taken + this.block.length - this.filled);
      this.block.set(piece, this.filled);
      this.filled += piece.length;
      taken += piece.length;
      if (this.filled === this.block.length) this.flush();
    }
    return true;
  }

  flush() {
    if (this.filled) this.port.postMessage({ samples: this.block.slice(0, this.filled) });
    this.filled = 0;
  }
}

registerProcessor("capture", Capture);
