// What is shown on request: a slot with its history, and the report of a crash or a hang.

import { duration, el, hue, moment } from "./format.js";
import { line } from "./lists.js";

export class Dialogs {
  constructor(dialog) {
    this.dialog = dialog;
    this.title = dialog.querySelector("h2");
    this.content = dialog.querySelector(".content");
    dialog.querySelector(".close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close(); // Beside it.
    });
  }

  async report(incident) {
    this.show(incident.slot, el("p", { class: "lead", text: incident.text }));
    const text = await fetched(`/reports/${incident.number}`, "text");
    this.content.append(el("pre", { tabindex: "0", text }));
  }

  async slot(key, state, steering) {
    const row = state.slots.get(key);
    this.show(key, ...(row ? facts(row, state) : [el("p", { text: "This slot is no longer planned." })]));
    if (row && state.steer) {
      const said = el("p", { class: "said", role: "status" });
      this.content.append(el("button", { type: "button", text: `Restart ${key}`, onclick: () => steering.command("restart", { slot: key }, said) }), said);
    }
    const history = el("ol", { class: "history" });
    this.content.append(el("h3", { text: "History" }), history);
    const found = JSON.parse(await fetched(`/slots/${key.split("/").map(encodeURIComponent).join("/")}`, "json"));
    history.append(...found.events.reverse().map((event) => this.event(event)));
  }

  event(event) {
    const item = line(event);
    if (event.report) item.append(el("button", { type: "button", class: "report", text: "Report", onclick: () => this.report(event) }));
    return item;
  }

  show(title, ...content) {
    this.title.textContent = title;
    this.content.replaceChildren(...content);
    if (!this.dialog.open) this.dialog.showModal();
    this.dialog.scrollTop = 0;
  }
}

async function fetched(address, kind) {
  try {
    const answer = await fetch(address);
    if (answer.ok) return await answer.text();
    return kind === "json" ? '{"events": []}' : "This report is no longer kept; `prefork crashes` may have it.";
  } catch {
    return kind === "json" ? '{"events": []}' : "No connection.";
  }
}

function facts(row, state) {
  const [word, pid, generation, since, , , restarts, failures, exit, retry, why, leaving] = row;
  const list = el("dl");
  const add = (name, value, more = {}) => value !== "" && value != null && list.append(el("dt", { text: name }), el("dd", { text: String(value), ...more }));
  add("state", since == null ? word : `${word} since ${moment(since)} (${duration(state.now - since)})`);
  add("process", pid);
  add("generation", generation, { "data-hue": hue(generation) });
  add("restarts", restarts);
  add("failures in a row", failures || "");
  add("last exit", exit);
  add("next start", retry == null ? "" : moment(retry));
  add("last change", why);
  add("leaving", leaving.map(([old, state]) => `${old} ${state}`).join(", "));
  return [list];
}
