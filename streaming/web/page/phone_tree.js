// Viterbi's algorithm for whole utterances, pronunciations being a tree: the rule of streaming/spotting/phone_tree.py.

const NEVER = -1e9;

export class PhoneTree {
  // `sequences` are pronunciations as columns of the rows; `bonus` is paid for each phone, nats.
  constructor(sequences, blank, bonus) {
    const children = new Map(); // by node and column
    const [column, parent] = [[blank], [0]];
    this.ends = sequences.map((phones) =>
      phones.reduce((node, phone) => {
        const key = `${node} ${phone}`;
        if (!children.has(key)) {
          children.set(key, column.length);
          column.push(phone);
          parent.push(node);
        }
        return children.get(key);
      }, 0),
    );
    Object.assign(this, { blank, column, parent });
    // A phone follows an equal one only behind a blank, and nothing follows the root's phone, which there is not.
    this.barred = Float64Array.from(column, (own, node) => (node === 0 || own === column[parent[node]] ? NEVER : 0));
    this.bonus = sequences.map(({ length }) => bonus * length);
  }

  get length() {
    return this.column.length;
  }

  // Of each sequence, nats: the best path on which all of `rows`, as `relative` gives them, are that sequence and no more.
  scores(rows) {
    const { column, parent, barred, length } = this;
    let [phone, next] = [new Float64Array(length).fill(NEVER), new Float64Array(length)];
    const blank = new Float64Array(length).fill(NEVER);
    blank[0] = 0;
    for (const row of rows) {
      for (let node = 1; node < length; node++) {
        const before = parent[node];
        next[node] = Math.max(blank[before], phone[before] + barred[node], phone[node]) + row[column[node]];
      }
      next[0] = NEVER;
      for (let node = 0; node < length; node++) blank[node] = Math.max(blank[node], phone[node]) + row[this.blank];
      [phone, next] = [next, phone];
    }
    return this.ends.map((node, place) => Math.max(phone[node], blank[node]) + this.bonus[place]);
  }
}

// Rows of log-probabilities divided by their maxima, `steepest` at least.
export function relative(rows, steepest) {
  return rows.map((row) => {
    const highest = row.reduce((a, b) => Math.max(a, b));
    return Float64Array.from(row, (value) => Math.max(value - highest, steepest));
  });
}

// The best path of any phones at all through `rows`, as `relative` gives them, paid as in a tree.
export function freeScore(rows, blank, bonus) {
  if (!rows.length) return 0;
  const on = new Float64Array(rows[0].length).fill(NEVER); // the best path that is now in each phone
  let off = 0; // in a blank
  let [first, second] = [NEVER, NEVER]; // the two highest of `on`
  for (const row of rows) {
    const [highest, next, silent] = [first, second, off];
    [first, second] = [-Infinity, -Infinity];
    for (let phone = 0; phone < on.length; phone++) {
      if (phone === blank) continue;
      const another = on[phone] === highest ? next : highest; // the best in another phone
      on[phone] = Math.max(on[phone], Math.max(silent, another) + bonus) + row[phone];
      if (on[phone] > first) [first, second] = [on[phone], first];
      else if (on[phone] > second) second = on[phone];
    }
    off = Math.max(silent, highest) + row[blank];
  }
  return Math.max(off, first);
}
