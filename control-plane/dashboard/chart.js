// Bar charts over time: uPlot draws, a legend shows the values, a table has the same values as text.

import { el, fill, table } from "./dom.js";
import { bucket, mark } from "./format.js";

const HEIGHT = 210;
const UTC = "Etc/UTC";

const probe = el("span", { hidden: true });
document.body.append(probe);

/** A custom property's colour in the current theme; a canvas knows no properties. */
function colour(name) {
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

const charts = new Set();

/** After a change of theme. */
export function repaint() {
  for (const chart of charts) chart.rebuild();
}

/**
 * A chart in `place`. `lines`: `{label, colour}` with a colour's custom property, drawn over one another in
 * order; `format` for values, `ticks` for those at the axis; `title` names it.
 */
export class Bars {
  constructor(place, { title, lines, format, ticks = format, local = false }) {
    Object.assign(this, { place, title, lines, format, ticks, local, times: [], values: lines.map(() => []), series: "daily" });
    this.legend = el("div", { class: "legend", "aria-hidden": "true" });
    this.readouts = lines.map((line) => {
      const value = el("b");
      const swatch = el("i", { class: "swatch" });
      swatch.style.background = `var(${line.colour})`;
      this.legend.append(el("span", {}, swatch, line.label, " ", value));
      return value;
    });
    this.at = el("span", { class: "at" });
    this.legend.append(this.at);
    this.canvas = el("div", { class: "canvas", role: "img", "aria-label": title });
    this.words = el("div", { class: "scroll" });
    this.details = el("details", { class: "as-table", on: { toggle: () => this.tell() } }, el("summary", {}, "As a table"), this.words);
    place.replaceChildren(this.legend, this.canvas, this.details);
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.canvas);
    charts.add(this);
  }

  /** `times` in milliseconds, ascending; `values` one array per line; `series` names the buckets' length. */
  show(times, values, series) {
    const rebuild = series !== this.series || this.plot === undefined;
    Object.assign(this, { times, values, series });
    if (rebuild) this.rebuild();
    else this.plot.setData(this.data());
    this.read(null);
    this.tell();
  }

  data() {
    return [this.times.map((ms) => ms / 1000), ...this.values];
  }

  step() {
    return { minute: 60, hourly: 3600, daily: 86_400, weekly: 7 * 86_400, monthly: 30 * 86_400 }[this.series];
  }

  rebuild() {
    this.plot?.destroy();
    this.plot = undefined;
    const width = this.canvas.clientWidth;
    // a hidden view has no size; the observer calls again when it is shown
    if (width === 0 || this.times.length === 0) return;
    const ink = colour("--ink-soft");
    const axis = { stroke: ink, font: "12px system-ui, sans-serif", ticks: { show: false } };
    const half = this.step() * 0.6;
    this.plot = new uPlot({
      width,
      height: HEIGHT,
      legend: { show: false },
      padding: [10, 12, 0, 0],
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      tzDate: this.local ? (seconds) => new Date(seconds * 1000) : (seconds) => uPlot.tzDate(new Date(seconds * 1000), UTC),
      scales: {
        x: { range: (plot, min, max) => [min - half, max + half] },
        y: { range: (plot, min, max) => [0, max > 0 ? max * 1.08 : 1] },
      },
      axes: [
        { ...axis, grid: { show: false }, space: 64, size: 30, values: (plot, ticks, axis, space, step) => ticks.map((at) => mark(at * 1000, step, this.local ? undefined : UTC)) },
        { ...axis, size: 58, space: 44, grid: { stroke: colour("--line"), width: 1 }, values: (plot, ticks) => ticks.map(this.ticks) },
      ],
      series: [{}, ...this.lines.map((line) => ({
        label: line.label,
        fill: colour(line.colour),
        width: 0,
        points: { show: false },
        paths: uPlot.paths.bars({ size: [0.72, 42], radius: 0.12 }),
      }))],
      hooks: { setCursor: [(plot) => this.read(plot.cursor.idx)] },
    }, this.data(), this.canvas);
  }

  resize() {
    const width = this.canvas.clientWidth;
    if (width === 0) return;
    if (this.plot === undefined) this.rebuild();
    else if (this.plot.width !== width) this.plot.setSize({ width, height: HEIGHT });
  }

  /** Shows the values of one bucket; without an index it clears them. */
  read(index) {
    const pointed = typeof index === "number" && index < this.times.length;
    this.at.textContent = pointed ? bucket(this.times[index], this.series) : "";
    this.readouts.forEach((readout, line) => {
      readout.textContent = pointed ? this.format(this.values[line][index]) : "";
    });
  }

  tell() {
    const filled = this.times.map((_, i) => i).filter((i) => this.values.some((line) => line[i]));
    const last = filled.at(-1);
    const summary = last === undefined ? "nothing yet" : `${filled.length} with figures, the last ${bucket(this.times[last], this.series)}: ${this.lines.map((line, n) => `${line.label} ${this.format(this.values[n][last])}`).join(", ")}`;
    this.canvas.setAttribute("aria-label", `${this.title}: ${summary}. A table with the same figures follows.`);
    if (!this.details.open) return;
    const columns = [{ title: "Time" }, ...this.lines.map((line) => ({ title: line.label, number: true }))];
    const rows = filled.reverse().map((i) => [bucket(this.times[i], this.series), ...this.values.map((line) => this.format(line[i]))]);
    fill(this.words, rows.length ? table(this.title, columns, rows) : el("p", { class: "none" }, "Nothing yet."));
  }
}
