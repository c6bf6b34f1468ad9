// Plays what was heard, and tells where it is.

export class Player {
  // `onMove(seconds)` is called while it plays, and with null when it ends; `onEnd()` then, too.
  constructor(onMove, onEnd) {
    Object.assign(this, { onMove, onEnd });
    this.context = null;
    this.source = null;
  }

  get playing() {
    return this.source !== null;
  }

  // Plays samples from `start` on, in seconds.
  async play({ samples, rate }, start) {
    this.stop();
    this.context ??= new AudioContext();
    const { context } = this;
    const buffer = context.createBuffer(1, samples.length, rate);
    buffer.copyToChannel(samples, 0);
    const source = new AudioBufferSourceNode(context, { buffer });
    source.connect(context.destination);
    source.onended = () => source === this.source && this.stop();
    this.source = source;
    await context.resume();
    source.start(0, start);
    const began = context.currentTime - start;
    const move = () => {
      if (source !== this.source) return;
      this.onMove(Math.min(context.currentTime - began, buffer.duration));
      requestAnimationFrame(move);
    };
    move();
  }

  stop() {
    if (!this.source) return;
    const { source } = this;
    this.source = null;
    source.stop();
    this.context.suspend(); // lets the sound card rest
    this.onMove(null);
    this.onEnd();
  }
}
