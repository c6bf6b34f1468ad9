// Commands in a stream: the utterance that goes on, and at its end which command it was. The rule of
// streaming/spotting/command_state.py, a row at a time.

export class Commanding {
  // `recognizer` is a `CommandRecognizer`, `row` the index of the next row in the stream.
  constructor(recognizer, row = 0) {
    this.recognizer = recognizer;
    this.begin(row);
  }

  // Another utterance begins at `row`.
  begin(row) {
    this.first = row; // where the rows that are kept begin in the stream
    this.rows = [];
    this.voiced = false; // whether a phone is the most probable in one of them; if not, they are the last ones
  }

  // Hears the next row, a Float32Array.
  decode(row) {
    const { recognizer, rows } = this;
    this.voiced ||= recognizer.voiced(row);
    if (this.voiced) {
      if (rows.length < recognizer.most) rows.push(row.slice());
      return;
    }
    rows.push(row.slice());
    if (rows.length <= recognizer.lead) return;
    rows.shift();
    this.first += 1;
  }

  // The command that the utterance is, in a list, which is empty if no phone was heard; the next begins at `row`.
  finish(row) {
    const told = this.voiced ? [this.recognizer.recognize(this.rows, this.first)] : [];
    this.begin(row);
    return told;
  }
}
