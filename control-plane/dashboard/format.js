// Numbers and times as people read them. Anything that is no number is a dash.

const NONE = "–";
const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 3 });

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/** 1,234,567 */
export const count = (value) => (isNumber(value) ? grouped.format(value) : NONE);

/** 1.23M, 4.5K, 870 */
export function compact(value) {
  if (!isNumber(value)) return NONE;
  return Math.abs(value) < 1000 ? grouped.format(value) : short.format(value);
}

/** An axis label of a chart of whole numbers. */
export const whole = (value) => (Number.isInteger(value) ? compact(value) : "");

/** 41.3 % */
export const percent = (value) => (isNumber(value) ? `${value.toFixed(1)} %` : NONE);

/** $12.34, $1,234, and $0.0042 where cents would show nothing */
export function dollars(value) {
  if (!isNumber(value)) return NONE;
  const size = Math.abs(value);
  const digits = size === 0 || size >= 1000 ? 0 : size >= 0.0095 ? 2 : size >= 0.001 ? 4 : 6;
  const text = new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(size);
  return `${value < 0 ? "−" : ""}$${text}`;
}

/** 0.41 ms, 12 ms, 1.4 s, 3 min 20 s */
export function duration(ms) {
  if (!isNumber(ms)) return NONE;
  if (ms < 10) return `${ms.toFixed(2)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

/** 14:03:22 here */
export const clock = (at) => new Date(at).toLocaleTimeString([], { hour12: false });

/** Today 14:03, 27 Nov 14:03: here */
export function when(at) {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return NONE;
  const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
  if (date.toDateString() === new Date().toDateString()) return time;
  return `${date.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} ${time}`;
}

/** 12 s, 4 min, 3 h 20 min, 2 days */
export function span(ms) {
  if (!isNumber(ms)) return NONE;
  const minutes = Math.round(ms / 60_000);
  if (ms < 60_000) return `${Math.round(ms / 1000)} s`;
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.round(minutes / 1440)} days`;
}

/** The axis label for a time, if the next label is `step` seconds later. */
export function mark(ms, step, timeZone) {
  const say = (options) => new Intl.DateTimeFormat("en-US", { timeZone, hour12: false, ...options }).format(ms);
  const time = say({ hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  if (step < 86_400 && time !== "00:00") return time;
  if (step < 28 * 86_400) return say({ month: "short", day: "numeric" });
  const month = say({ month: "short" });
  return month === "Jan" ? say({ year: "numeric" }) : month;
}

/** A bucket's name: its hour, day, week or month, in UTC as it was counted. */
export function bucket(ms, series) {
  const at = new Date(ms);
  const day = at.toISOString().slice(0, 10);
  if (series === "minute") return at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
  if (series === "hourly") return `${day} ${at.toISOString().slice(11, 16)} UTC`;
  if (series === "weekly") return `week of ${day}`;
  if (series === "monthly") return day.slice(0, 7);
  return day;
}
