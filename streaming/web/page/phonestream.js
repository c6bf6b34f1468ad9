// Phonestream's recogniser for any page: it hears in a worker, and no audio leaves the browser.
//
//     const recognizer = await Recognizer.load();
//     const { seconds, phones } = await recognizer.transcribe(samples, rate);
//
// docs/static-page.md describes it. A phone is { symbol, start, end, confidence, word_start, peak }, times in seconds; a
// keyword that was said { phrase, start, end, score, word_boundary }; what an utterance was { command, score, best, second,
// start, end }, with null for a command where it was none.

const PIECE_SECONDS = 4; // of a recording sent to the worker at a time

export class Recognizer {
  // Promises a recogniser with its model loaded; `onProgress` gets shares of it, from 0 to 1. Fails with the reason.
  static load(onProgress = () => {}) {
    return new Promise((resolve, reject) => new Recognizer(onProgress, resolve, reject));
  }

  constructor(onProgress, resolve, reject) {
    this.streams = new Map(); // by id, what takes the worker's messages
    this.lastId = 0;
    // A worker from a blob's address is under this page's Content-Security-Policy; one from a file's has only what
    // headers the server sends, and static servers send none.
    const script = `import ${JSON.stringify(new URL("worker.js", import.meta.url).href)};`;
    const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
    this.worker = new Worker(address, { type: "module" });
    this.worker.onmessage = ({ data }) => {
      if (data.loaded !== undefined) onProgress(data.loaded);
      else if (data.ready) resolve(this);
      else if (data.broken) reject(new Error(`The recogniser cannot start: ${data.broken}.`));
      else this.streams.get(data.id)?.(data);
    };
    this.worker.onerror = (event) => {
      event.preventDefault();
      const reason = event.message || "its script cannot be loaded";
      const error = new Error(`The recogniser has stopped (${reason}). Reload the page.`);
      reject(error);
      for (const [id, take] of this.streams) take({ id, error: error.message });
    };
  }

  // A stream of `rate` Hz. `onEvent` gets { event: "phone", … } when a phone is certain, { event: "spotted", … } when one of
  // `keywords` was said with a score of `threshold` at least, { event: "tentative", phones } for the guess at what follows and
  // { event: "lost", start, seconds }; with `commands` { event: "endpoint", time, start, silence, rule } where an utterance ends,
  // and behind it { event: "command", … }; { event: "keywords", phrases, start } where those of `setKeywords` begin to count,
  // { event: "commands", … } likewise, or { event: "refused", message }; `onHeard` the seconds that were heard.
  stream(rate, onEvent, { keywords = [], commands = [], threshold, onHeard = () => {} } = {}) {
    const { worker, streams } = this;
    const id = ++this.lastId;
    let sent = 0; // samples, lost ones too
    let heard = 0; // seconds
    const done = new Promise((resolve, reject) => {
      streams.set(id, ({ events, tentative, heard: seconds, set, phrases, start, refused, final, error }) => {
        events?.forEach((event) => onEvent({ event: "phone", ...event })); // others say what they are
        if (tentative) onEvent({ event: "tentative", phones: tentative });
        if (set) onEvent({ event: set, phrases, start });
        if (refused) onEvent({ event: "refused", message: refused });
        if (seconds !== undefined) onHeard((heard = seconds));
        if (final !== undefined) resolve(final);
        if (error) reject(new Error(error));
      });
    });
    const forget = () => streams.delete(id);
    done.then(forget, forget);
    worker.postMessage({ id, open: rate, keywords, commands, threshold });
    return {
      done, // promises the stream's seconds, after `finish`
      behind: () => Math.max(0, sent / rate - heard), // seconds that wait
      // Samples of one channel, a Float32Array in [-1, 1] of any length.
      send(samples) {
        sent += samples.length;
        worker.postMessage({ id, samples });
      },
      // So many samples never came: the clock goes on over them.
      gap(count) {
        onEvent({ event: "lost", start: sent / rate, seconds: count / rate });
        sent += count;
        worker.postMessage({ id, gap: count });
      },
      // Other keywords, none with an empty list, after all that was sent before.
      setKeywords(keywords, threshold) {
        worker.postMessage({ id, set: "keywords", phrases: keywords, threshold });
      },
      // Other commands, likewise; the stream must have been opened with some.
      setCommands(commands, threshold) {
        worker.postMessage({ id, set: "commands", phrases: commands, threshold });
      },
      finish() {
        worker.postMessage({ id, finish: true });
      },
      // Gives the stream up; `done` never settles.
      close() {
        forget();
        worker.postMessage({ id, close: true });
      },
    };
  }

  // All phones of a recording: promises { seconds, phones, spotted, commands }. `onProgress` gets shares of it; keywords and
  // commands as for `stream`.
  async transcribe(samples, rate, onProgress = () => {}, { keywords, commands, threshold } = {}) {
    const found = { phone: [], spotted: [], command: [] };
    let turn = () => {}; // called when the worker has heard more
    const take = ({ event, ...rest }) => found[event]?.push(rest);
    const onHeard = (heard) => {
      onProgress((heard * rate) / samples.length);
      turn();
    };
    const stream = this.stream(rate, take, { keywords, commands, threshold, onHeard });
    const piece = PIECE_SECONDS * rate;
    for (let first = 0; first < samples.length; first += piece) {
      stream.send(samples.slice(first, first + piece));
      while (stream.behind() > 2 * PIECE_SECONDS) {
        await Promise.race([stream.done, new Promise((resolve) => (turn = resolve))]);
      }
    }
    stream.finish();
    return { seconds: await stream.done, phones: found.phone, spotted: found.spotted, commands: found.command };
  }

  // Ends the worker and frees its memory.
  close() {
    this.worker.terminate();
  }
}
