// The phone language model of the beam search, as streaming/decoding/trie.py and phone_lm.py have it: the packed file is
// read, and rows of scores and of next contexts are expanded when they are first asked for.

const MAGIC = "PHONELM1";
const DIGEST = 32; // bytes at the end of the file
const NO_BACK_OFF = 128; // in `back_off`: a weight of 1
const MAX_ROWS = 16384; // expanded at a time
const ROOT = 0;
const START = 0;
const UNKNOWN = -1;

// Reads the file; it fails with what is wrong where it is none of ours or not whole.
export async function readPhoneLM(file) {
  const bytes = new Uint8Array(file);
  if (new TextDecoder("latin1").decode(bytes.subarray(0, MAGIC.length)) !== MAGIC) throw damaged("it does not begin as one");
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(MAGIC.length, true);
  let place = MAGIC.length + 4;
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(place, (place += length))));
  if (place + header.stored.reduce((sum, size) => sum + size, DIGEST) !== bytes.length) throw damaged("it is truncated");
  const arrays = [];
  for (const size of header.stored) arrays.push(await inflate(bytes.subarray(place, (place += size))));
  const [symbol, children, cost, backOff] = arrays;
  const whole = [symbol, children, cost].every((array) => array.length === header.nodes);
  if (!whole || backOff.length !== header.contexts) throw damaged("its arrays have other lengths than its header says");
  return new PhoneLM(header, symbol, children, cost, backOff);
}

class PhoneLM {
  constructor({ phones, word_marks: wordMarks, step, contexts }, symbol, children, cost, backOff) {
    Object.assign(this, { phones, wordMarks, step, symbol, children, cost, backOff });
    this.end = phones.length * (wordMarks ? 2 : 1) + 1; // the symbol of a sentence's end
    this.first = new Int32Array(contexts + 1); // child of each context
    this.number = new Int32Array(symbol.length).fill(UNKNOWN); // of the nodes that are contexts
    this.suffix = new Int32Array(contexts).fill(UNKNOWN); // of each context, once it is known
    let [context, child] = [0, 1];
    for (let node = 0; node < symbol.length; node++) {
      if (!children[node]) continue;
      this.number[node] = context;
      this.first[context++] = child;
      child += children[node];
    }
    this.first[context] = child;
    if (context !== contexts || child !== symbol.length) throw damaged("its nodes are not one tree");
    this.rows = new Map();
    this.start = this.row(ROOT).nexts[START];
  }

  // The scores of all symbols after a context, in nats, and the contexts after them.
  row(context) {
    const known = this.rows.get(context);
    if (known) return known;
    if (this.rows.size >= MAX_ROWS) this.rows.clear();
    const width = this.end + 1;
    let row;
    if (context === ROOT) row = { scores: new Float64Array(width), nexts: new Int32Array(width) };
    else {
      const below = this.row(this.suffix[context]);
      const weight = this.step * (NO_BACK_OFF - this.backOff[context]);
      row = { scores: below.scores.map((score) => score + weight), nexts: below.nexts.slice() };
    }
    for (let node = this.first[context]; node < this.first[context + 1]; node++) {
      const symbol = this.symbol[node];
      const number = this.number[node];
      row.scores[symbol] = -this.step * this.cost[node];
      if (number === UNKNOWN) continue;
      this.suffix[number] = row.nexts[symbol];
      row.nexts[symbol] = number;
    }
    this.rows.set(context, row);
    return row;
  }
}

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function damaged(why) {
  return new Error(`The language model cannot be used: ${why}. Copy the whole folder again.`);
}
