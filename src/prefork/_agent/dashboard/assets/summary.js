// The answer to "is it well?": the verdict with its reasons, and the generations with the change that is under way.

import { counted, duration, el, hue, moment, percent, precise, say } from "./format.js";

const MARKS = { well: "●", busy: "◌", watch: "▲", bad: "■" };
const STAGES = ["planning", "binding", "baking", "rolling", "done"];

export class Summary {
  constructor(place, openSlot, openReport) {
    this.verdict = place.querySelector("#verdict");
    this.headline = place.querySelector("h1");
    this.reasons = place.querySelector(".reasons");
    this.calm = place.querySelector(".calm");
    this.rollout = place.querySelector("#rollout");
    this.generations = place.querySelector(".generations");
    this.stages = [...place.querySelectorAll(".stages li")];
    this.progress = place.querySelector("progress");
    this.change = place.querySelector(".change");
    this.bake = place.querySelector(".bake");
    this.openSlot = openSlot;
    this.openReport = openReport;
    this.shown = "";
    this.most = 0;
  }

  // The title of a tab in the background is drawn as well.
  title(state) {
    const verdict = state.set.verdict;
    if (verdict) document.title = `${state.set.trouble ? "?" : MARKS[verdict.level]} ${state.set.daemon.name}: ${verdict.headline}`;
  }

  draw(state) {
    const verdict = state.set.verdict;
    if (!verdict) return;
    this.verdict.dataset.level = verdict.level;
    say(this.headline, verdict.headline);
    this.drawReasons(verdict.reasons, state.now);
    say(this.calm, verdict.reasons.length ? "" : lastTrouble(state));
    this.drawGenerations(state);
    this.drawChange(state);
  }

  // The list is made again only when a reason comes or goes; the seconds since then are counted in place.
  drawReasons(reasons, now) {
    const shown = JSON.stringify(reasons);
    if (shown !== this.shown) {
      this.shown = shown;
      this.reasons.replaceChildren(...reasons.map((reason) => this.reason(reason)));
    }
    reasons.forEach((reason, at) => {
      if (reason.since != null) say(this.reasons.children[at].querySelector(".since"), `for ${duration(now - reason.since)}`);
    });
  }

  reason(reason) {
    const item = el("li", { "data-level": reason.level });
    if (reason.slot) item.append(el("button", { type: "button", class: "slot", text: reason.slot, onclick: () => this.openSlot(reason.slot) }));
    item.append(el("span", { class: "text", text: reason.text }));
    // Not read out: it changes each second.
    if (reason.since != null) item.append(el("span", { class: "since", "aria-hidden": "true" }));
    if (reason.incident) item.append(el("button", { type: "button", class: "report", text: "Report", onclick: () => this.openReport({ ...reason, number: reason.incident, report: true }) }));
    return item;
  }

  drawGenerations(state) {
    const count = new Map();
    for (const [, , generation, , , , , , , , , leaving, auxiliary] of state.slots.values()) {
      if (auxiliary) continue;
      if (generation != null) count.set(generation, (count.get(generation) ?? 0) + 1);
      for (const [, , old] of leaving) count.set(old, (count.get(old) ?? 0) + 1);
    }
    const chips = [...count].sort(([a], [b]) => b - a).slice(0, 3).map(([generation, workers]) => {
      const [requests, failed, p95] = state.set.generations?.[generation] ?? [];
      const facts = [counted(workers, "process").replace("processs", "processes")];
      if (requests) facts.push(`p95 ${precise(p95)}`, `${percent(failed)} failed`);
      return [generation, facts.join(", ")];
    });
    const shown = JSON.stringify(chips);
    if (shown === this.chips) return;
    this.chips = shown;
    this.generations.replaceChildren(
      ...chips.map(([generation, facts]) => el("span", {}, el("b", { class: "chip", "data-hue": hue(generation), text: `generation ${generation}` }), ` ${facts}`)),
    );
  }

  drawBake(change, now) {
    const lines = change?.bake ? bakeLines(change, now) : [];
    this.stages.find((stage) => stage.dataset.stage === "baking").hidden = !lines.length;
    this.bake.hidden = !lines.length;
    if (this.bake.children.length !== lines.length) this.bake.replaceChildren(...lines.map(() => el("li")));
    lines.forEach((line, at) => say(this.bake.children[at], line));
  }

  drawChange(state) {
    const change = state.set.change?.what === "preview" ? null : state.set.change;
    const last = state.set.last;
    this.rollout.dataset.change = change ? "under-way" : "none";
    const at = change ? STAGES.indexOf(change.stage) : last ? STAGES.length - 1 : -1;
    const failed = !change && last?.outcome === "failed";
    this.stages.forEach((stage, place) => {
      stage.dataset.state = place < at ? "over" : place > at ? "ahead" : change ? "now" : failed ? "failed" : "over";
      if (place === at && change) stage.setAttribute("aria-current", "step");
      else stage.removeAttribute("aria-current");
    });
    say(this.stages.at(-1), failed ? "failed" : "done");
    this.drawBake(change, state.now);
    const all = change?.what === "reload" || change?.what === "start" ? state.set.verdict.wanted : change?.left;
    this.most = change?.stage === "rolling" ? Math.max(this.most, all) : 0;
    this.progress.value = this.most ? (this.most - change.left) / this.most : 0;
    if (change) {
      const left = change.stage === "rolling" ? `: ${counted(change.left, "worker")} to go` : "";
      const waiting = state.set.queue?.length ? `; ${counted(state.set.queue.length, "change")} waiting` : "";
      say(this.change, `${change.what} of generation ${change.to}${left}${waiting}`);
    } else if (last) {
      say(this.change, `last change: ${last.what}, ${last.outcome} at ${moment(last.time)} after ${precise(last.seconds)}`);
    }
  }
}

// The first workers of a judged reload, and what they and the old ones have counted in the same time.
function bakeLines(change, now) {
  const { bake, to } = change;
  if (bake.begun == null) return [`judge: waits for ${bake.canaries.join(", ")} of generation ${to}`];
  const left = duration(Math.max(0, bake.until - now));
  const beside = bake.held ? `held, since there are too few requests, at most ${left} more` : `${left} left`;
  return [`judge: ${bake.canaries.join(", ")} of generation ${to} beside the others, ${beside}`, ...bake.figures.map((one) => `${one.pool}: new ${side(one.new)}; old ${side(one.old)}`)];
}

function side({ requests, errors, p95 }) {
  if (!requests) return "no requests yet";
  return `${counted(requests, "request")}, ${percent(errors / requests)} failed, p95 ${precise(p95)}`;
}

// What there is to say while all is well: since when.
function lastTrouble(state) {
  const last = state.incidents.at(-1);
  const daemon = state.set.daemon;
  const since = last ? last.time : daemon.started;
  if (state.now - since < 60 && last) return `${last.slot} ${last.text}, ${duration(state.now - since)} ago; it has been replaced.`;
  return last ? `No crash and no hang for ${duration(state.now - since)}.` : `No crash and no hang since the start, ${duration(state.now - since)} ago.`;
}
