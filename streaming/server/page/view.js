// The picture: a spectrogram that scrolls, and under it the phonemes at their times.

import { BANDS, COLUMNS_PER_SECOND } from "./spectrum.js";

const PIXELS_PER_SECOND = 190;
const ROWS = 3; // of labels, so that neighbours do not overlap
const ROW_HEIGHT = 21; // pixels
const LABELS = ROWS * ROW_HEIGHT + 26; // pixels under the spectrogram, the times among them
const LEAD_SECONDS = 0.5; // before a recording's first phoneme, where that is shown first
const KEPT_SECONDS = 600; // of columns; older ones leave
const FAINTEST = 0.3; // opacity of a phoneme that the model does not believe in
const FONT = '15px ui-sans-serif, system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif';

const THEMES = {
  light: {
    heat: ["#f4f1ea", "#dfe7df", "#9ccabf", "#3f9b8f", "#17655f", "#0d3a3d"],
    paper: "#fffdf9", ink: "#22302f", quiet: "#6b7a77", line: "#d9d4c8", lost: "#b03a2e",
  },
  dark: {
    heat: ["#0c1214", "#10262b", "#14494c", "#238078", "#7fc9a8", "#f6edc4"],
    paper: "#151d1f", ink: "#e6ebe6", quiet: "#8fa19e", line: "#2a3735", lost: "#f08a7a",
  },
};

export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
    this.strip = document.createElement("canvas");
    this.strip.height = BANDS;
    this.name = (symbol) => symbol;
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.dark.addEventListener("change", () => this.recolour());
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.clear();
    this.recolour();
    this.navigate();
  }

  clear() {
    this.columns = new Uint8Array(BANDS * COLUMNS_PER_SECOND * 60);
    this.count = 0; // columns in the store
    this.first = 0; // the store's first column, counted from the beginning
    this.seconds = 0; // of audio so far, pictured or not
    this.phones = [];
    this.lost = [];
    this.cursor = null; // seconds, while it is played
    this.ends = Array(ROWS).fill(-Infinity); // of the last label of each row, pixels
    this.edge = 0; // seconds at the right edge
    this.following = true;
    this.draw();
  }

  add(columns) {
    for (const column of columns) {
      if ((this.count + 1) * BANDS > this.columns.length) this.grow();
      this.columns.set(column, this.count * BANDS);
      this.count += 1;
    }
    this.reach((this.first + this.count) / COLUMNS_PER_SECOND);
  }

  // Silence in the picture for audio that never came, so that what follows stands at its time.
  lose(start, seconds) {
    this.lost.push({ start, seconds });
    this.wake();
  }

  addPhone(phone) {
    this.phones.push(this.placed(phone));
    this.wake();
  }

  reach(seconds) {
    this.seconds = Math.max(this.seconds, seconds);
    this.wake();
  }

  show(name) {
    this.name = name;
    this.ends.fill(-Infinity);
    this.phones = this.phones.map((phone) => this.placed(phone));
    this.wake();
  }

  // Shows the beginning, of a recording that is there as a whole; or its first phoneme, where that is not in sight then.
  rewind() {
    this.following = false;
    const first = this.phones[0]?.start ?? 0;
    const left = first > this.span - LEAD_SECONDS ? first - LEAD_SECONDS : 0;
    this.edge = Math.min(this.seconds, left + this.span);
    this.wake();
  }

  // Shows where playing has got to, in seconds; null when it is over.
  point(seconds) {
    this.cursor = seconds;
    const left = this.edge - this.span;
    if (seconds !== null && (seconds < left || seconds > this.edge)) {
      this.following = false;
      this.edge = Math.max(this.span, Math.min(this.seconds, seconds + 0.9 * this.span));
    }
    this.wake();
  }

  // Seconds at the left edge, from where what is seen is played.
  get begin() {
    return Math.max(0, this.edge - this.span) < this.seconds - 0.5 ? Math.max(0, this.edge - this.span) : 0;
  }

  get span() {
    return this.canvas.clientWidth / PIXELS_PER_SECOND;
  }

  placed(phone) {
    const text = this.name(phone.symbol);
    this.pen.font = FONT;
    const width = this.pen.measureText(text).width;
    const left = ((phone.start + phone.end) / 2) * PIXELS_PER_SECOND - width / 2;
    let row = this.ends.findIndex((end) => end + 5 <= left);
    if (row < 0) row = this.ends.indexOf(Math.min(...this.ends));
    this.ends[row] = left + width;
    return { ...phone, text, row };
  }

  grow() {
    const most = BANDS * COLUMNS_PER_SECOND * KEPT_SECONDS;
    if (this.columns.length < most) {
      const larger = new Uint8Array(Math.min(most, 2 * this.columns.length));
      larger.set(this.columns);
      this.columns = larger;
      return;
    }
    const leaving = Math.floor(this.count / 4);
    this.columns.copyWithin(0, leaving * BANDS);
    this.first += leaving;
    this.count -= leaving;
    const begin = this.first / COLUMNS_PER_SECOND;
    this.phones = this.phones.filter((phone) => phone.end >= begin);
    this.lost = this.lost.filter((gap) => gap.start + gap.seconds >= begin);
  }

  recolour() {
    this.theme = this.dark.matches ? THEMES.dark : THEMES.light;
    const stops = this.theme.heat.map((colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)));
    this.heat = new Uint32Array(256);
    for (let i = 0; i < 256; i++) {
      const place = (i / 255) * (stops.length - 1);
      const low = Math.min(stops.length - 2, Math.floor(place));
      const [r, g, b] = stops[low].map((value, c) => Math.round(value + (place - low) * (stops[low + 1][c] - value)));
      this.heat[i] = (255 << 24) | (b << 16) | (g << 8) | r;
    }
    this.wake();
  }

  resize() {
    const scale = devicePixelRatio || 1;
    this.canvas.width = Math.round(this.canvas.clientWidth * scale);
    this.canvas.height = Math.round(this.canvas.clientHeight * scale);
    this.pen.setTransform(scale, 0, 0, scale, 0, 0);
    this.draw();
  }

  wake() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      const target = Math.max(this.seconds, this.span);
      if (this.following) {
        const away = target - this.edge;
        this.edge = away > 1 || away < 0.004 || matchMedia("(prefers-reduced-motion: reduce)").matches
          ? target
          : this.edge + away * 0.3;
        if (this.edge !== target) this.wake();
      }
      this.draw();
    });
  }

  draw() {
    const { pen, canvas, theme } = this;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight - LABELS;
    if (!width || !theme) return;
    this.edge = Math.max(this.edge, this.span);
    const left = this.edge - this.span;
    const x = (seconds) => (seconds - left) * PIXELS_PER_SECOND;

    pen.fillStyle = theme.paper;
    pen.fillRect(0, 0, width, canvas.clientHeight);
    this.drawColumns(left, x, height);
    for (const gap of this.lost) {
      pen.fillStyle = theme.lost;
      pen.globalAlpha = 0.25;
      pen.fillRect(x(gap.start), 0, Math.max(2, gap.seconds * PIXELS_PER_SECOND), height);
      pen.globalAlpha = 1;
    }
    this.drawTimes(left, x, height, width);
    if (this.cursor !== null) {
      pen.fillStyle = theme.lost;
      pen.fillRect(x(this.cursor) - 1, 0, 2, height + 18);
    }
    pen.font = FONT;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    for (const phone of this.phones) {
      const middle = x((phone.start + phone.end) / 2);
      if (middle < -30 || middle > width + 30) continue;
      const y = height + 24 + (phone.row + 0.5) * ROW_HEIGHT;
      pen.globalAlpha = FAINTEST + (1 - FAINTEST) * phone.confidence;
      pen.fillStyle = theme.ink;
      pen.fillText(phone.text, middle, y);
      pen.globalAlpha *= 0.35;
      pen.fillRect(middle - 0.5, height, 1, 6);
      pen.globalAlpha = 1;
    }
  }

  drawColumns(left, x, height) {
    const begin = Math.max(0, Math.floor(left * COLUMNS_PER_SECOND) - this.first);
    const end = Math.min(this.count, Math.ceil(this.edge * COLUMNS_PER_SECOND) + 1 - this.first);
    this.pen.fillStyle = `#${[0, 8, 16].map((shift) => ((this.heat[0] >> shift) & 255).toString(16).padStart(2, "0")).join("")}`;
    this.pen.fillRect(0, 0, this.canvas.clientWidth, height);
    if (end <= begin) return;
    this.strip.width = end - begin;
    const pen = this.strip.getContext("2d");
    const image = pen.createImageData(end - begin, BANDS);
    const pixels = new Uint32Array(image.data.buffer);
    for (let column = begin; column < end; column++) {
      for (let band = 0; band < BANDS; band++) {
        pixels[(BANDS - 1 - band) * (end - begin) + column - begin] = this.heat[this.columns[column * BANDS + band]];
      }
    }
    pen.putImageData(image, 0, 0);
    const from = x((begin + this.first - 0.5) / COLUMNS_PER_SECOND);
    this.pen.imageSmoothingQuality = "high";
    this.pen.drawImage(this.strip, from, 0, ((end - begin) * PIXELS_PER_SECOND) / COLUMNS_PER_SECOND, height);
  }

  drawTimes(left, x, height, width) {
    const { pen, theme } = this;
    pen.font = '11px ui-sans-serif, system-ui, sans-serif';
    pen.textBaseline = "middle";
    pen.textAlign = "left";
    for (let second = Math.max(0, Math.ceil(left)); second <= this.edge && x(second) < width; second++) {
      pen.fillStyle = theme.line;
      pen.fillRect(x(second), height, 1, 18);
      pen.fillStyle = theme.quiet;
      pen.fillText(`${second} s`, x(second) + 5, height + 14);
    }
  }

  // Arrow keys, dragging and the wheel move through what was heard; the end follows the sound again.
  navigate() {
    const to = (edge) => {
      this.edge = Math.max(this.span, Math.min(Math.max(this.seconds, this.span), edge));
      this.following = this.edge >= this.seconds;
      this.wake();
    };
    const steps = { ArrowLeft: -0.5, ArrowRight: 0.5, PageUp: -3, PageDown: 3 };
    this.canvas.addEventListener("keydown", (event) => {
      if (event.key in steps) to(this.edge + steps[event.key]);
      else if (event.key === "Home") to(this.first / COLUMNS_PER_SECOND + this.span);
      else if (event.key === "End") to(this.seconds);
      else return;
      event.preventDefault();
    });
    this.canvas.addEventListener("pointerdown", (event) => this.canvas.setPointerCapture(event.pointerId));
    this.canvas.addEventListener("pointermove", (event) => {
      if (event.buttons) to(this.edge - event.movementX / PIXELS_PER_SECOND);
    });
    this.canvas.addEventListener(
      "wheel",
      (event) => {
        if (!event.deltaX) return;
        to(this.edge + event.deltaX / PIXELS_PER_SECOND);
        event.preventDefault();
      },
      { passive: false },
    );
  }
}
