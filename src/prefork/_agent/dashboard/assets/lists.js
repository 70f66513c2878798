// Failures with their reports, how many workers have ended and why, and the last events.

import { el, moment, say } from "./format.js";

// From the worst to what was asked for.
const CAUSES = ["crash", "out_of_memory", "hang", "start", "exit", "rollback", "recycled", "reload", "replan", "restart", "scale", "stop"];
const WORDS = { out_of_memory: "out of memory", start: "failed start" };
const FAILURES = new Set(CAUSES.slice(0, 4));

export class Lists {
  constructor(incidents, replaced, events, open) {
    this.incidents = incidents;
    this.replaced = replaced;
    this.events = events;
    this.open = open;
  }

  draw(state) {
    this.fill(this.incidents, [...state.incidents].reverse(), (incident) => this.incident(incident));
    this.fill(this.events, [...state.events].reverse(), (event) => line(event));
    this.drawReplaced(state.set.replaced ?? {});
  }

  // Add what is new above what is there; make the list again only after a new start.
  fill(section, entries, make) {
    const list = section.querySelector("ol");
    const known = new Map([...list.children].map((child) => [child.dataset.key, child]));
    const wanted = entries.map((entry) => `${entry.number}-${entry.time}`);
    const keys = new Set(wanted);
    for (const [key, child] of known) if (!keys.has(key)) child.remove();
    entries.forEach((entry, at) => {
      if (list.children[at]?.dataset.key === wanted[at]) return;
      const element = known.get(wanted[at]) ?? make(entry);
      element.dataset.key = wanted[at];
      list.insertBefore(element, list.children[at] ?? null);
    });
    const none = section.querySelector(".none");
    if (none) none.hidden = entries.length > 0;
  }

  incident(incident) {
    const item = line(incident);
    if (incident.doing && !incident.text.includes(incident.doing)) item.append(el("span", { class: "doing", text: incident.doing }));
    if (incident.report) item.append(el("button", { type: "button", class: "report", text: "Report", "aria-label": `Report on ${incident.slot}`, onclick: () => this.open(incident) }));
    return item;
  }

  drawReplaced(replaced) {
    const list = this.replaced.querySelector("ul");
    const causes = CAUSES.filter((cause) => replaced[cause]);
    const shown = JSON.stringify(replaced);
    if (shown !== this.shown) {
      this.shown = shown;
      list.replaceChildren(
        ...causes.map((cause) => el("li", { class: FAILURES.has(cause) ? "failure" : "" }, WORDS[cause] ?? cause, el("b", { text: String(replaced[cause]) }))),
      );
    }
    this.replaced.querySelector(".none").hidden = causes.length > 0;
  }
}

export function line(event) {
  const item = el("li", { "data-tone": event.tone }, el("time", { text: moment(event.time) }), el("span", { class: "about", text: event.slot }), el("span", { class: "text", text: event.text }));
  say(item.querySelector("time"), moment(event.time));
  return item;
}
