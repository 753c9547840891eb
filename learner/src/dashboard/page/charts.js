// Line charts of the run's history: a line of means over a band from the least to the largest.

/** An element with attributes and children; texts stay texts. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

export function significant(value, digits = 4) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value !== 0 && (Math.abs(value) >= 1e7 || Math.abs(value) < 1e-4)) return value.toExponential(digits - 2);
  if (Number.isInteger(value) || Math.abs(value) >= 10 ** (digits - 1)) return grouped(value);
  return String(Number(value.toPrecision(digits)));
}

export function grouped(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  return Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, ",");
}

/** A number beside an axis, short: 200 k, 1.5 M. */
function tickText(value) {
  for (const [unit, name] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (Math.abs(value) >= unit * 10 || (unit > 1e3 && Math.abs(value) >= unit)) return `${Number((value / unit).toPrecision(4))} ${name}`;
  }
  return significant(value, 4);
}

/** Seconds as people say them. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [days, hours, minutes] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
  const two = (number) => String(number).padStart(2, "0");
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours}:${two(minutes)}:${two(whole % 60)}`;
  return `${minutes}:${two(whole % 60)}`;
}

const probe = element("span", { class: "hidden", "aria-hidden": "true" });
document.body.append(probe);
let colours = new Map();

/** What a colour of the style sheet is in the theme that is shown. */
export function colour(name) {
  if (!colours.has(name)) {
    probe.style.color = `var(${name})`;
    colours.set(name, getComputedStyle(probe).color);
  }
  return colours.get(name);
}

export function forgetColours() {
  colours = new Map();
}

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

function timeStep(span, most) {
  for (const step of STEPS) if (span / step <= most) return step;
  let step = 86400;
  for (let i = 0; span / step > most; i += 1) step = 86400 * [1, 2, 5][i % 3] * 10 ** Math.floor(i / 3);
  return step;
}

function niceStep(span, most) {
  const rough = span / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((times) => times * power).find((step) => span / step <= most) ?? 10 * power;
}

/** The scale of an axis: linear, or logarithmic where everything is positive and far apart. */
function scale(low, high, isLogarithmic) {
  if (isLogarithmic) {
    const [from, to] = [Math.log10(low), Math.log10(high)];
    const margin = (to - from) * 0.05 || 0.1;
    const ticks = [];
    for (let power = Math.floor(from); power <= Math.ceil(to); power += 1) {
      for (const times of to - from < 2 ? [1, 2, 5] : [1]) ticks.push(times * 10 ** power);
    }
    return { from: from - margin, to: to + margin, of: Math.log10, ticks };
  }
  const margin = (high - low) * 0.07 || Math.abs(high) * 0.05 || 1;
  const [from, to] = [low === 0 ? 0 : low - margin, high + margin];
  const step = niceStep(to - from, 4);
  const ticks = [];
  for (let i = Math.ceil(from / step); i * step <= to; i += 1) ticks.push(Number((i * step).toPrecision(12)));
  return { from, to, of: (value) => value, ticks };
}

/** One chart in a figure: `series` are [name, label] or [name, label, "dashed"]. */
export class LineChart {
  constructor(options, cursor) {
    this.options = options;
    this.cursor = cursor;
    this.canvas = element("canvas", { role: "img", tabindex: "0" });
    this.note = element("span", { class: "at" });
    this.legend = element("ul", { class: "legend" });
    this.details = element("details", {}, element("summary", {}, "Values"), element("div", { class: "scroll" }));
    this.figure = element(
      "figure", { class: "card chart", id: `chart-${options.id}` },
      element("figcaption", {}, element("h3", {}, options.title), this.note), this.legend, this.canvas, this.details,
    );
    this.details.addEventListener("toggle", () => this.tabulate());
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerdown", (event) => this.point(event));
    this.canvas.addEventListener("pointerleave", () => cursor.move(null));
    this.canvas.addEventListener("blur", () => cursor.move(null));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
  }

  /** Takes the history; draws nothing yet. */
  set(history) {
    this.seconds = history.seconds;
    this.lines = [];
    for (const [number, [name, label, style]] of this.options.series(history).entries()) {
      const column = history.series[name];
      if (!column || !column.mean.some((value) => value !== null && value !== undefined)) continue;
      this.lines.push({ name, label, style, number: number % 5, mean: column.mean, min: column.min ?? column.mean, max: column.max ?? column.mean });
    }
    this.figure.hidden = this.lines.length === 0;
    const shown = this.lines.map((line) => line.name).join();
    if (shown !== this.shown) this.relabel(shown);
  }

  relabel(shown) {
    this.shown = shown;
    this.outputs = this.lines.map(() => element("output"));
    this.legend.replaceChildren(...this.lines.map((line, i) => element(
      "li", {},
      element("span", { class: `key k${line.number} ${line.style ?? ""}`, "aria-hidden": "true" }),
      `${line.label} `, this.outputs[i],
    )));
  }

  draw() {
    if (this.figure.hidden || !this.lines) return;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (width === 0) return;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
    }
    const context = this.canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = "11px system-ui, sans-serif";
    this.box = { left: 48, right: width - 6, top: 6, bottom: height - 18 };
    this.measure();
    this.axes(context);
    for (const line of this.lines) this.band(context, line);
    for (const line of this.lines) this.line(context, line);
    this.mark(context);
    this.describe();
    if (this.details.open) this.tabulate();
  }

  measure() {
    let [low, high] = [Infinity, -Infinity];
    for (const { min, max } of this.lines) {
      for (const value of min) if (value !== null && value < low) low = value;
      for (const value of max) if (value !== null && value > high) high = value;
    }
    this.range = [low, high];
    const { zero, logarithmic } = this.options;
    this.isLogarithmic = Boolean(logarithmic) && low > 0 && high / low > 30;
    if (zero && !this.isLogarithmic) low = Math.min(low, 0);
    this.vertical = scale(low, high, this.isLogarithmic);
    this.from = this.seconds[0] ?? 0;
    this.to = Math.max(this.seconds.at(-1) ?? 0, this.from + 1);
  }

  x(seconds) {
    return this.box.left + ((seconds - this.from) / (this.to - this.from)) * (this.box.right - this.box.left);
  }

  y(value) {
    const { from, to, of } = this.vertical;
    return this.box.bottom - ((of(value) - from) / (to - from)) * (this.box.bottom - this.box.top);
  }

  axes(context) {
    const { left, right, top, bottom } = this.box;
    context.lineWidth = 1;
    context.fillStyle = colour("--quiet");
    context.strokeStyle = colour("--grid");
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const tick of this.vertical.ticks) {
      const y = Math.round(this.y(tick)) + 0.5;
      if (y < top - 1 || y > bottom + 1) continue;
      context.beginPath();
      context.moveTo(left, y);
      context.lineTo(right, y);
      context.stroke();
      context.fillText(tickText(tick), left - 6, y);
    }
    const step = timeStep(this.to - this.from, Math.max(2, (right - left) / 70));
    context.textBaseline = "top";
    for (let tick = Math.ceil(this.from / step) * step; tick <= this.to; tick += step) {
      const text = clock(tick);
      const half = context.measureText(text).width / 2;
      context.textAlign = "left";
      context.fillText(text, Math.min(Math.max(this.x(tick) - half, left), right - 2 * half), bottom + 5);
    }
  }

  band(context, { min, max, mean, number }) {
    if (min === mean && max === mean) return;
    context.fillStyle = colour(`--c${number}`);
    context.globalAlpha = 0.18;
    context.beginPath();
    let start = 0;
    for (let i = 0; i <= mean.length; i += 1) {
      if (i < mean.length && min[i] !== null && min[i] !== undefined) continue;
      for (let j = start; j < i; j += 1) {
        const [x, y] = [this.x(this.seconds[j]), this.y(max[j])];
        if (j === start) context.moveTo(x, y);
        else context.lineTo(x, y);
      }
      for (let j = i - 1; j >= start; j -= 1) context.lineTo(this.x(this.seconds[j]), this.y(min[j]));
      start = i + 1;
    }
    context.fill();
    context.globalAlpha = 1;
  }

  line(context, { mean, number, style }) {
    context.strokeStyle = colour(`--c${number}`);
    context.lineWidth = 1.6;
    context.lineJoin = "round";
    context.setLineDash(style === "dashed" ? [5, 4] : []);
    context.beginPath();
    let isDown = false;
    for (let i = 0; i < mean.length; i += 1) {
      if (mean[i] === null || mean[i] === undefined) {
        isDown = false;
        continue;
      }
      const [x, y] = [this.x(this.seconds[i]), this.y(mean[i])];
      if (isDown) context.lineTo(x, y);
      else context.moveTo(x, y);
      isDown = true;
    }
    context.stroke();
    context.setLineDash([]);
  }

  /** The line under the cursor, and what is read there; else the newest values. */
  mark(context) {
    const at = this.cursor.seconds === null ? null : this.nearest(this.cursor.seconds);
    const place = at ?? this.seconds.length - 1;
    for (const [i, line] of this.lines.entries()) this.outputs[i].textContent = significant(last(line.mean, place, at !== null));
    this.note.textContent = at === null ? (this.isLogarithmic ? "log scale" : "") : `at ${clock(this.seconds[at])}`;
    if (at === null) return;
    context.strokeStyle = colour("--quiet");
    context.lineWidth = 1;
    const x = Math.round(this.x(this.seconds[at])) + 0.5;
    context.beginPath();
    context.moveTo(x, this.box.top);
    context.lineTo(x, this.box.bottom);
    context.stroke();
    for (const { mean, number } of this.lines) {
      if (mean[at] === null || mean[at] === undefined) continue;
      context.fillStyle = colour(`--c${number}`);
      context.beginPath();
      context.arc(x, this.y(mean[at]), 3, 0, 2 * Math.PI);
      context.fill();
    }
  }

  nearest(seconds) {
    let [low, high] = [0, this.seconds.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.seconds[middle] < seconds) low = middle + 1;
      else high = middle;
    }
    const before = this.seconds[low - 1];
    return before !== undefined && seconds - before < this.seconds[low] - seconds ? low - 1 : low;
  }

  point(event) {
    if (!this.box) return;
    const x = event.clientX - this.canvas.getBoundingClientRect().left;
    const share = Math.min(1, Math.max(0, (x - this.box.left) / (this.box.right - this.box.left)));
    this.cursor.move(this.from + share * (this.to - this.from));
  }

  key(event) {
    const places = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -Infinity, End: Infinity };
    const last = this.seconds.length - 1;
    if (event.key === "Escape") this.cursor.move(null);
    if (!(event.key in places) || last < 0) return;
    event.preventDefault();
    const at = this.cursor.seconds === null ? last : this.nearest(this.cursor.seconds);
    const next = Math.min(last, Math.max(0, at + places[event.key]));
    const values = this.lines.map((line) => `${line.label} ${significant(line.mean[next])}`);
    this.cursor.move(this.seconds[next], `${clock(this.seconds[next])}: ${values.join(", ")}`);
  }

  /** What somebody who does not see the chart is told of it. */
  describe() {
    const [low, high] = this.range;
    const lines = this.lines.map((line) => `${line.label} is ${significant(last(line.mean, this.seconds.length - 1))}`);
    const span = `${clock(this.from)} to ${clock(this.to)}`;
    this.canvas.setAttribute("aria-label", `${this.options.title}, ${span}: ${lines.join(", ")}; between ${significant(low)} and ${significant(high)}. Arrow keys read single values.`);
  }

  tabulate() {
    if (!this.details.open || !this.lines) return;
    const count = this.seconds.length;
    const places = [...new Set(Array.from({ length: 12 }, (_, i) => Math.round((i * (count - 1)) / 11)))].filter((i) => i >= 0);
    const head = ["Time", ...this.lines.map((line) => line.label)];
    const rows = places.map((i) => [clock(this.seconds[i]), ...this.lines.map((line) => significant(line.mean[i]))]);
    this.details.lastElementChild.replaceChildren(table(this.options.title, head, rows));
  }
}

/** The value at a place, or the last one before it. */
function last(values, place, isExact = false) {
  for (let i = place; i >= 0; i -= 1) {
    if (values[i] !== null && values[i] !== undefined) return values[i];
    if (isExact) return null;
  }
  return null;
}

/** A table; a cell is a text, or an element that goes into it, or {cell} to be one. */
export function table(caption, head, rows, classes = []) {
  const withClass = (tag, i, more = {}) => element(tag, classes[i] ? { class: classes[i], ...more } : more);
  const body = rows.map((row) => element("tr", {}, ...row.map((content, i) => {
    const cell = i === 0 ? withClass("th", i, { scope: "row" }) : withClass("td", i);
    cell.append(content);
    return cell;
  })));
  return element(
    "table", {}, element("caption", {}, caption),
    element("thead", {}, element("tr", {}, ...head.map((text, i) => {
      const cell = withClass("th", i, { scope: "col" });
      cell.append(text);
      return cell;
    }))),
    element("tbody", {}, ...body),
  );
}
