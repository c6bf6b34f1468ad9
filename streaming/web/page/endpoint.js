// Where one utterance ends and the next begins: the rules of streaming/endpoint.py, a row at a time.

export class Endpoints {
  // `rules` are { name, trailing_silence, speech, utterance }, in seconds.
  constructor(rules, blank, rowSeconds) {
    const rows = (seconds) => Math.ceil(seconds / rowSeconds - 1e-9);
    Object.assign(this, { rules, blank });
    this.limits = rules.map(({ trailing_silence, speech, utterance }) => [trailing_silence, speech, utterance].map(rows));
    this.row = 0; // the next row's index
    this.start = 0; // of the utterance
    this.speech = null; // start of its first phone, end of its last so far
    this.label = null; // of the phone that goes on
  }

  // What the next row, in which `label` is the most probable, decides: { time, start, silence, rule }, in rows and the rule's
  // name, or null. `time` is the row behind it, or the row itself where another phone begins.
  decode(label) {
    const row = this.row++;
    if (label === this.blank) {
      this.label = null;
      return this.end(row + 1);
    }
    const another = this.label !== null && this.label !== label;
    const ending = another ? this.end(row) : null;
    this.speech = [this.speech?.[0] ?? row, row + 1];
    this.label = label;
    return ending;
  }

  // Ends the utterance before row `time`, if a rule holds there.
  end(time) {
    const { start, speech } = this;
    const spoken = speech ? speech[1] - speech[0] : 0;
    const silence = time - (speech ? speech[1] : start);
    const holds = ([trailing, least, length]) => silence >= trailing && spoken >= least && time - start >= length;
    const rule = this.limits.findIndex(holds);
    if (rule < 0) return null;
    [this.start, this.speech] = [time, null];
    return { time, start, silence, rule: this.rules[rule].name };
  }
}
