// Texts for numbers, sizes, times and durations.

const RELATIVE = [
  [60, 1, "s"],
  [3600, 60, "min"],
  [86400, 3600, "h"],
  [Infinity, 86400, "d"],
];

// What the time of the host is ahead of that of the browser, in ms: in a test of an app time is virtual.
let ahead = 0;

/** Note the time of the host, as ISO 8601. */
export function setHostTime(now) {
  const difference = Date.parse(now) - Date.now();
  // Both clocks of one machine differ only by the way of the response.
  ahead = Math.abs(difference) < 2000 ? 0 : difference;
}

/** The time of the host in ms. */
export const hostTime = () => Date.now() + ahead;

/** "12 s ago", "in 3 min". `now`: ms; default: the time of the host. */
export function relative(time, now = hostTime()) {
  const seconds = Math.round((now - Date.parse(time)) / 1000);
  const size = Math.abs(seconds);
  if (size < 2) return "now";
  const [, unit, name] = RELATIVE.find(([limit]) => size < limit);
  const text = `${Math.floor(size / unit)} ${name}`;
  return seconds < 0 ? `in ${text}` : `${text} ago`;
}

/** "850 ms", "2.4 s", "3 min 5 s", "2 h 10 min". */
export function duration(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return "–";
  if (ms < 1) return `${Math.round(ms * 10) / 10} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const [minutes, hours, days] = [seconds / 60, seconds / 3600, seconds / 86400].map(Math.floor);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  if (hours < 24) return `${hours} h ${minutes % 60} min`;
  return `${days} d ${hours % 24} h`;
}

/** "14:03:59.120" in local time, with the date if it is not today. */
export function clockTime(time, { milliseconds = true } = {}) {
  const moment = new Date(time);
  if (Number.isNaN(moment.getTime())) return String(time);
  const two = (number) => String(number).padStart(2, "0");
  const text =
    `${two(moment.getHours())}:${two(moment.getMinutes())}:${two(moment.getSeconds())}` +
    (milliseconds ? `.${String(moment.getMilliseconds()).padStart(3, "0")}` : "");
  const today = new Date().toDateString() === moment.toDateString();
  return today ? text : `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())} ${text}`;
}

export function size(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 ** 2) return `${(bytes / 1024).toFixed(1)} KB`;
  if (bytes < 1024 ** 3) return `${(bytes / 1024 ** 2).toFixed(1)} MB`;
  return `${(bytes / 1024 ** 3).toFixed(2)} GB`;
}

export const count = (number) => (number === null || number === undefined ? "–" : number.toLocaleString("en-US"));

/** What an error says behind the words with which host and worker begin the text of each failed invocation. */
export const errorText = (text) =>
  text.replace(/^(Exception while executing function: \S+ )?Result: Failure\n/, "").replace(/^(Exception: )+/, "");

/** "1 line", "2 lines". */
export const plural = (number, word, words = `${word}s`) => `${count(number)} ${number === 1 ? word : words}`;
