// The page: it keeps what the stream has sent, and draws it once a frame at most.

import { Figures } from "./charts.js";
import { Dialogs } from "./dialogs.js";
import { counted, duration, say } from "./format.js";
import { Link } from "./link.js";
import { Lists } from "./lists.js";
import { Steering } from "./steer.js";
import { Summary } from "./summary.js";
import { Workers } from "./workers.js";

const POINTS = 300;
const EVENTS = 200;
const INCIDENTS = 20;

const find = (selector) => document.querySelector(selector);

const state = { now: 0, steer: false, set: {}, slots: new Map(), live: new Map(), points: [], events: [], incidents: [] };

function apply(message) {
  if (message.whole) {
    // Another agent of the same daemon knows nothing of the time before it: the charts of this page go on.
    const same = message.set.daemon.started === state.set.daemon?.started;
    const first = message.points[0]?.[0] ?? Infinity;
    const points = same ? state.points.filter((point) => point[0] < first) : [];
    Object.assign(state, { set: {}, points, events: [], incidents: [], steer: message.steer });
    state.slots.clear();
    state.live.clear();
  }
  state.now = message.now;
  Object.assign(state.set, message.set);
  merge(state.slots, message.slots);
  merge(state.live, message.live);
  state.points = [...state.points, ...(message.points ?? [])].slice(-POINTS);
  state.events = [...state.events, ...(message.events ?? [])].slice(-EVENTS);
  state.incidents = [...state.incidents, ...(message.incidents ?? [])].slice(-INCIDENTS);
  summary.title(state);
  draw();
}

function merge(rows, changes = {}) {
  for (const [key, row] of Object.entries(changes)) {
    if (row === null) rows.delete(key);
    else rows.set(key, row);
  }
}

let asked = false;

function draw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    summary.draw(state);
    figures.draw(state.points, state.now);
    workers.draw(state);
    lists.draw(state);
    steering.draw(state);
    facts();
  });
}

function facts() {
  const daemon = state.set.daemon;
  if (!daemon) return; // The master has not answered yet.
  say(find("#name"), daemon.name);
  const [, phase, spares] = state.set.molds?.at(-1) ?? [];
  const mold = phase === "ready" ? counted(spares, "spare") : phase && `mold ${phase}`;
  const parts = [daemon.target, daemon.directory, `up ${duration(state.now - daemon.started)}`, `master ${daemon.pid}`, mold, `Python ${daemon.python}`];
  say(find("#facts"), parts.filter(Boolean).join("  ·  "));
}

function connection(text, lost) {
  const trouble = !lost && state.set.trouble;
  say(find("#link"), trouble ? `Live, but ${trouble}` : text);
  document.documentElement.dataset.link = lost ? "lost" : trouble ? "trouble" : "live";
  find("#again").hidden = !lost;
  if (lost) document.title = `? ${state.set.daemon?.name ?? "prefork"}: ${text}`;
}

const dialogs = new Dialogs(find("#detail"));
const steering = new Steering(find("#rollout .steer"), find("#token"));
const summary = new Summary(find("#summary"), (slot) => dialogs.slot(slot, state, steering), (incident) => dialogs.report(incident));
const figures = new Figures(find("#figures"));
const workers = new Workers(find("#band"), find("#workers"), (slot) => dialogs.slot(slot, state, steering));
const lists = new Lists(find("#incidents"), find("#replaced"), find("#events"), (incident) => dialogs.report(incident));

const link = new Link(apply, connection);
find("#again").addEventListener("click", () => link.now());
link.open();
