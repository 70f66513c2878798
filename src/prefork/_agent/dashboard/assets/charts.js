// The figures of the whole daemon, each with its last five minutes.

import { counted, el, number, percent, precise, say, size } from "./format.js";

const SPANS = [60, 120, 300]; // Seconds from the left edge of a chart to the right one: it grows with what is known.
const WIDTH = 300;
const SVG = "http://www.w3.org/2000/svg";

// Places in a point, as `figures.py` makes it.
const AT = 0, REQUESTS = 1, FAILED = 2, P50 = 3, P95 = 4, P99 = 5, QUEUE = 6, IN_FLIGHT = 7, OPEN = 8, CPU = 9, PRIVATE = 10, SHARED = 11;

const FIGURES = [
  {
    name: "requests", title: "Requests", lines: [REQUESTS], shown: number,
    main: (p) => number(p[REQUESTS]), unit: "/s", more: (p) => `${counted(p[OPEN] ?? 0, "connection")} open`,
  },
  {
    name: "latency", title: "Latency, p95", lines: [P99, P95, P50], shown: precise,
    main: (p) => precise(p[P95]), unit: "", more: (p) => `p50 ${precise(p[P50])}, p99 ${precise(p[P99])}`,
  },
  {
    name: "failed", title: "Failed requests", lines: [FAILED], shown: (v) => `${number(v)}/s`,
    main: (p, points) => percent(share(points)), unit: "", more: (p) => `${number(p[FAILED])}/s now`,
  },
  {
    name: "flight", title: "In flight", lines: [IN_FLIGHT], shown: number,
    main: (p) => number(p[IN_FLIGHT]), unit: "", more: (p) => (p[QUEUE] == null ? "queue time unknown" : `queue p95 ${precise(p[QUEUE])}`),
  },
  {
    name: "cpu", title: "Processors", lines: [CPU], shown: (v) => (v < 1 ? v.toFixed(2) : number(v)),
    main: (p) => (p[CPU] == null ? "–" : p[CPU].toFixed(2)), unit: "", more: () => "used by all workers",
  },
  {
    name: "memory", title: "Private memory", lines: [PRIVATE], shown: size,
    main: (p) => size(p[PRIVATE]), unit: "", more: (p) => `shared ${size(p[SHARED])}`,
  },
];

// The share of the requests of the last ten seconds that failed.
function share(points) {
  const lately = points.slice(-10);
  const sum = (place) => lately.reduce((all, point) => all + (point[place] ?? 0), 0);
  const requests = sum(REQUESTS);
  return requests > 0 ? sum(FAILED) / requests : null;
}

class Chart {
  constructor(figure) {
    this.figure = figure;
    this.scale = 0;
    this.value = el("span", { class: "value" });
    this.more = el("p", { class: "more" });
    this.top = el("span", { class: "scale" });
    this.width = el("span", { class: "scale" });
    this.drawing = document.createElementNS(SVG, "svg");
    this.drawing.setAttribute("viewBox", `0 0 ${WIDTH} 100`);
    this.drawing.setAttribute("preserveAspectRatio", "none");
    this.paths = figure.lines.map((_, at) => this.path(`line line-${at}`));
    this.area = this.path("area");
    this.element = el(
      "figure",
      { class: `figure ${figure.name}` },
      el("figcaption", {}, el("h2", { text: figure.title }), el("p", { class: "main" }, this.value, el("span", { class: "unit", text: figure.unit })), this.more),
      el("div", { class: "chart", "aria-hidden": "true" }, this.drawing, this.top, this.width),
    );
  }

  path(name) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", name);
    path.setAttribute("vector-effect", "non-scaling-stroke");
    this.drawing.append(path);
    return path;
  }

  draw(points, now) {
    const last = points.at(-1) ?? [];
    say(this.value, this.figure.main(last, points));
    say(this.more, this.figure.more(last));
    this.rescale(points);
    const span = SPANS.find((each) => now - (points[0]?.[AT] ?? now) <= each) ?? SPANS.at(-1);
    say(this.width, span < 100 ? `${span} s` : `${span / 60} min`);
    say(this.top, this.scale > 0 ? this.figure.shown(this.scale) : "");
    this.figure.lines.forEach((place, at) => {
      const [line, area] = this.trace(points, place, now, span);
      this.paths[at].setAttribute("d", line);
      if (at === this.figure.lines.length - 1) this.area.setAttribute("d", area);
    });
  }

  // The scale grows at once and shrinks late, so that a chart does not jump.
  rescale(points) {
    const most = Math.max(0, ...points.flatMap((point) => this.figure.lines.map((place) => point[place] ?? 0)));
    if (most > this.scale || most < this.scale / 3) this.scale = round(most);
  }

  trace(points, place, now, span) {
    let line = "", area = "", before = null, first = 0, at = 0;
    const close = () => (before === null ? "" : `L${before} 100L${first} 100Z`);
    for (const point of points) {
      const x = WIDTH * (1 - (now - point[AT]) / span);
      const value = point[place];
      if (x < -20 || value == null) continue;
      const y = this.scale > 0 ? 98 - 94 * Math.min(1, value / this.scale) : 98;
      const spot = `${x.toFixed(1)} ${y.toFixed(1)}`;
      if (before === null || point[AT] - at > 4) {
        area += close();
        first = x;
        line += `M${spot}`;
        area += `M${spot}`;
      } else {
        line += `L${spot}`;
        area += `L${spot}`;
      }
      before = x;
      at = point[AT];
    }
    return [line, area + close()];
  }
}

// The next number that is easy to read: 1, 2 or 5 with zeros.
function round(value) {
  if (value <= 0) return 0;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= value * 0.999);
}

export class Figures {
  constructor(place) {
    this.charts = FIGURES.map((figure) => new Chart(figure));
    place.append(...this.charts.map((chart) => chart.element));
  }

  draw(points, now) {
    for (const chart of this.charts) chart.draw(points, now);
  }
}
