// The workers: a band with a place for each slot, and the table.

import { byKey, duration, el, hue, number, precise, say, size } from "./format.js";

// Places in the row of a slot, as `rows.py` makes it.
const STATE = 0, PID = 1, GENERATION = 2, SINCE = 3, SERVING = 4, EXCHANGING = 5, RESTARTS = 6, FAILURES = 7, LAST_EXIT = 8, RETRY_AT = 9, LEAVING = 11, AUXILIARY = 12;
// Places in the row of a process, as `figures.py` makes it.
const RATE = 0, P95 = 1, IN_FLIGHT = 2, BUSY_SINCE = 4, DOING = 5, CPU = 6, PRIVATE = 7;

const LONG = 1; // Seconds of one request after which it is marked, and
const TOO_LONG = 10; // those after which it is marked as bad.

const WORST = ["hung", "stopped", "degraded", "killed", "waiting", "starting", "draining", "leaving", "ready", "finished"];

// `of`: what is shown; `by`: what it is sorted by, if not the slot's key; `rank`: the least important are hidden first.
const COLUMNS = [
  { name: "slot", title: "Slot", rank: 0 },
  { name: "state", title: "State", rank: 0, by: (line) => WORST.indexOf(line.state) },
  { name: "generation", title: "Gen", rank: 1, of: (line) => (line.generation == null ? "" : `g${line.generation}`), by: (line) => -line.generation },
  { name: "since", title: "Since", rank: 1, of: (line) => (line.retry == null ? duration(line.age) : `next start in ${duration(line.retry)}`), by: (line) => line.age },
  { name: "doing", title: "Now doing", rank: 0, of: (line) => line.doing, by: (line) => -line.busy },
  { name: "flight", title: "In flight", rank: 3, number: true, of: (line) => number(line.live?.[IN_FLIGHT]), by: (line) => -(line.live?.[IN_FLIGHT] ?? -1) },
  { name: "rate", title: "Req/s", rank: 1, number: true, of: (line) => number(line.live?.[RATE]), by: (line) => -(line.live?.[RATE] ?? -1) },
  { name: "p95", title: "p95", rank: 2, number: true, of: (line) => precise(line.live?.[P95]), by: (line) => -(line.live?.[P95] ?? -1) },
  { name: "cpu", title: "CPU", rank: 2, number: true, of: (line) => (line.live?.[CPU] == null ? "–" : `${line.live[CPU]}%`), by: (line) => -(line.live?.[CPU] ?? -1) },
  { name: "private", title: "Private", rank: 3, number: true, of: (line) => size(line.live?.[PRIVATE]), by: (line) => -(line.live?.[PRIVATE] ?? -1) },
  { name: "pid", title: "Pid", rank: 3, number: true, of: (line) => String(line.pid ?? ""), by: (line) => line.pid ?? 0 },
  { name: "restarts", title: "Restarts", rank: 2, number: true, of: (line) => number(line.restarts), by: (line) => -line.restarts },
  { name: "exit", title: "Last exit", rank: 4, of: (line) => line.exit, by: (line) => line.exit },
];

export class Workers {
  constructor(band, section, open) {
    this.band = band;
    this.head = section.querySelector("thead tr");
    this.body = section.querySelector("tbody");
    this.none = section.querySelector(".none");
    this.only = section.querySelector("#only");
    this.title = section.querySelector("h2");
    this.open = open;
    this.rows = new Map();
    this.cells = new Map();
    this.sort = { column: COLUMNS[0], down: false };
    this.headings = COLUMNS.map((column) => this.heading(column));
    this.head.append(...this.headings);
    this.only.addEventListener("change", () => this.draw(this.state));
  }

  heading(column) {
    const button = el("button", { type: "button", text: column.title, onclick: () => this.sortBy(column) });
    return el("th", { scope: "col", class: `${column.name} rank-${column.rank}${column.number ? " number" : ""}` }, button);
  }

  sortBy(column) {
    this.sort = { column, down: this.sort.column === column && !this.sort.down };
    this.draw(this.state);
  }

  draw(state) {
    if (!state) return;
    this.state = state;
    const lines = [...state.slots].map(([key, row]) => this.line(key, row, state));
    lines.sort((a, b) => a.auxiliary - b.auxiliary || byKey(a.key, b.key));
    this.drawBand(lines.filter((line) => !line.auxiliary));
    this.drawTable(lines);
  }

  line(key, row, state) {
    const live = row[PID] == null ? undefined : state.live.get(String(row[PID]));
    const since = live?.[BUSY_SINCE];
    const busy = since == null ? 0 : Math.max(0, state.now - since);
    return {
      key, live, busy,
      state: row[STATE], pid: row[PID], generation: row[GENERATION],
      serving: row[SERVING] === 1, exchanging: row[EXCHANGING] === 1,
      age: row[SINCE] == null ? null : state.now - row[SINCE],
      retry: row[PID] == null && row[RETRY_AT] != null ? Math.max(0, row[RETRY_AT] - state.now) : null,
      doing: since == null ? "" : `${busy >= LONG ? `${duration(busy)}  ` : ""}${live[DOING] || "busy"}`,
      restarts: row[RESTARTS], failures: row[FAILURES], exit: row[LAST_EXIT], leaving: row[LEAVING], auxiliary: row[AUXILIARY],
      lookAt: row[STATE] !== "ready" && row[STATE] !== "finished" || row[FAILURES] > 0 || row[LEAVING].length > 0 || busy >= LONG,
    };
  }

  // One cell a slot: its colour is the generation's, its height the share of a processor.
  drawBand(lines) {
    set(document.body, "size", lines.length <= 16 ? "few" : lines.length <= 64 ? "some" : "many");
    keep(this.cells, lines, (line) => {
      const fill = el("i"), old = el("s"), label = el("b", { text: line.key });
      const cell = el("span", { class: "cell", onclick: () => this.open(line.key) }, old, fill, label);
      return Object.assign(cell, { fill, old });
    });
    for (const line of lines) {
      const cell = this.cells.get(line.key);
      set(cell, "hue", hue(line.generation));
      set(cell, "state", line.serving && line.state === "degraded" ? "ready" : line.state);
      set(cell, "busy", line.busy >= TOO_LONG ? "too-long" : line.busy >= LONG ? "long" : "");
      set(cell.old, "hue", line.leaving.length ? hue(line.leaving.at(-1)[2]) : "");
      const height = `${Math.min(100, line.live?.[CPU] ?? 0)}%`;
      if (cell.fill.style.height !== height) cell.fill.style.height = height;
      const title = `${line.key}: ${line.state}${line.doing ? `, ${line.doing}` : ""}`;
      if (cell.title !== title) cell.title = title;
    }
    arrange(this.band, lines.map((line) => this.cells.get(line.key)));
  }

  drawTable(lines) {
    const { column, down } = this.sort;
    this.headings.forEach((heading, at) => {
      if (COLUMNS[at] === column) heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      else heading.removeAttribute("aria-sort");
    });
    say(this.title, lines.length > 8 ? `Workers (${lines.filter((line) => !line.auxiliary).length})` : "Workers");
    const shown = this.only.checked ? lines.filter((line) => line.lookAt) : lines;
    if (column.by) shown.sort((a, b) => compare(column.by(a), column.by(b)) || byKey(a.key, b.key));
    if (down) shown.reverse();
    keep(this.rows, shown, (line) => this.row(line));
    for (const line of shown) this.drawRow(this.rows.get(line.key), line);
    arrange(this.body, shown.map((line) => this.rows.get(line.key)));
    this.none.hidden = shown.length > 0 || lines.length === 0;
  }

  row(line) {
    const button = el("button", { type: "button", class: "slot", text: line.key, onclick: () => this.open(line.key) });
    const cells = COLUMNS.map((column) => el(column.name === "slot" ? "th" : "td", { class: `${column.name} rank-${column.rank}${column.number ? " number" : ""}`, scope: column.name === "slot" ? "row" : null }));
    cells[0].append(button);
    cells[1].append(el("span", { class: "dot", "aria-hidden": "true" }), el("span"));
    return Object.assign(el("tr", {}, ...cells), { columns: cells });
  }

  drawRow(row, line) {
    set(row, "state", line.state);
    set(row, "auxiliary", String(line.auxiliary));
    set(row, "hue", hue(line.generation));
    set(row, "busy", line.busy >= TOO_LONG ? "too-long" : line.busy >= LONG ? "long" : "");
    const leaving = line.leaving.map(([, state, generation]) => `, g${generation} ${state === "ready" ? "serving" : state}`).join("");
    say(row.columns[1].lastChild, line.exchanging && line.state === "ready" ? "being replaced" : line.state + leaving);
    COLUMNS.forEach((column, at) => {
      if (!column.of) return;
      const text = column.of(line);
      say(row.columns[at], text);
      if (!column.number && row.columns[at].title !== text) row.columns[at].title = text; // It may be cut.
    });
  }
}

const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

function set(element, name, value) {
  if (element.dataset[name] !== value) element.dataset[name] = value;
}

// Make an element for each new line, and remove those of lines that are gone.
function keep(elements, lines, make) {
  const keys = new Set(lines.map((line) => line.key));
  for (const [key, element] of elements) {
    if (!keys.has(key)) {
      element.remove();
      elements.delete(key);
    }
  }
  for (const line of lines) if (!elements.has(line.key)) elements.set(line.key, make(line));
}

// Put elements in this order; those that are in place are not touched, so that focus and scrolling stay.
function arrange(place, elements) {
  elements.forEach((element, at) => {
    if (place.children[at] !== element) place.insertBefore(element, place.children[at] ?? null);
  });
}
