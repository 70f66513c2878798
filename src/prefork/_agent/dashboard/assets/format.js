// Numbers and times as a person reads them, in the units of `prefork top`, and elements with text that is only text.

export function el(tag, options = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (name === "text") element.textContent = value;
    else if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// Set a text only when it differs: an unchanged element is neither painted nor read out again.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function duration(seconds) {
  if (seconds == null) return "";
  const s = Math.max(0, seconds);
  if (s < 100) return `${Math.round(s)} s`;
  if (s < 6000) return `${Math.round(s / 60)} min`;
  if (s < 360000) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} d`;
}

export function precise(seconds) {
  if (seconds == null) return "–";
  if (seconds === 0) return "0 s";
  if (seconds < 0.001) return `${digits(seconds * 1e6)} µs`;
  if (seconds < 1) return `${digits(seconds * 1e3)} ms`;
  return seconds < 10 ? `${seconds.toFixed(1)} s` : duration(seconds);
}

const digits = (value) => (value < 10 ? value.toFixed(1) : value.toFixed(0));

export function number(value) {
  if (value == null) return "–";
  if (value > 0 && value < 10 && !Number.isInteger(value)) return value.toFixed(1);
  if (value < 99999.5) return value.toFixed(0);
  if (value < 9999500) return `${(value / 1e3).toFixed(0)}k`;
  return value < 9999500000 ? `${(value / 1e6).toFixed(0)}M` : `${(value / 1e9).toFixed(0)}G`;
}

export function size(bytes) {
  if (bytes == null) return "–";
  for (const [limit, unit, name] of [[1e6, 1e3, "kB"], [1e9, 1e6, "MB"], [1e12, 1e9, "GB"]]) {
    if (bytes < limit) return `${bytes / unit < 10 ? (bytes / unit).toFixed(1) : (bytes / unit).toFixed(0)} ${name}`;
  }
  return `${(bytes / 1e12).toFixed(1)} TB`;
}

export function percent(share) {
  if (share == null) return "–";
  const value = share * 100;
  return value === 0 ? "0%" : value < 0.1 ? "< 0.1%" : value < 10 ? `${value.toFixed(1)}%` : `${value.toFixed(0)}%`;
}

// The time of day; with the date if it is another day's.
export function moment(seconds) {
  if (seconds == null) return "";
  const then = new Date(seconds * 1000);
  const time = then.toLocaleTimeString("en-GB");
  if (then.toDateString() === new Date().toDateString()) return time;
  return `${then.toLocaleDateString("sv")} ${time}`;
}

// Neighbouring generations have different colours, the same ones as in `prefork top`.
export const hue = (generation) => (generation == null ? "none" : String(generation % 6));

export const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

// The order of keys: web/10 comes after web/9.
export const byKey = new Intl.Collator("en", { numeric: true }).compare;
