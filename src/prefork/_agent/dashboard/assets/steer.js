// Commands, for those who have the token. The page does not have these buttons unless the daemon allows steering.

import { el, say } from "./format.js";

export class Steering {
  constructor(place, dialog) {
    this.place = place;
    this.dialog = dialog;
    this.pools = new Map();
    dialog.querySelector(".cancel").addEventListener("click", () => dialog.close());
  }

  draw(state) {
    this.place.hidden = !state.steer;
    if (!state.steer) return;
    if (!this.outcome) {
      this.outcome = el("p", { class: "said", role: "status" });
      this.place.append(el("button", { type: "button", class: "main", text: "Reload", onclick: () => this.command("reload", {}, this.outcome) }), this.outcome);
    }
    const pools = state.set.pools ?? [];
    for (const pool of pools) {
      if (!this.pools.has(pool.pool)) this.pools.set(pool.pool, this.pool(pool.pool));
      Object.assign(this.pools.get(pool.pool), { size: pool.size, least: pool.min, most: pool.max });
      say(this.pools.get(pool.pool).number, `${pool.pool}: ${pool.size}`);
    }
  }

  pool(name) {
    const number = el("span", { class: "size" });
    const pool = { number };
    const step = (by, sign) =>
      el("button", { type: "button", text: sign, "aria-label": `${by > 0 ? "One worker more" : "One worker less"} in ${name}`, onclick: () => {
        const size = pool.size + by;
        if (size >= pool.least && size <= pool.most) this.command("scale", { pool: name, size }, this.outcome);
      } });
    this.outcome.before(el("span", { class: "pool" }, step(-1, "−"), number, step(1, "+")));
    return pool;
  }

  // Send a command, and show its outcome in `said`.
  async command(what, members, said) {
    const token = sessionStorage.getItem("token") ?? (await this.ask());
    if (!token) return;
    say(said, `${what}: sent`);
    try {
      const answer = await fetch(`/steer/${what}`, {
        method: "POST",
        headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
        body: JSON.stringify(members),
      });
      if (answer.status === 401) {
        sessionStorage.removeItem("token");
        say(said, "The token is not the daemon's. Try again.");
        return;
      }
      say(said, (await answer.text()).trim());
    } catch {
      say(said, `${what}: the connection was lost before its outcome; the events show it.`);
    }
  }

  ask() {
    const field = this.dialog.querySelector("input");
    field.value = "";
    this.dialog.returnValue = "";
    this.dialog.showModal();
    return new Promise((resolve) => {
      this.dialog.addEventListener("close", () => {
        const token = this.dialog.returnValue === "use" ? field.value.trim() : "";
        if (token) sessionStorage.setItem("token", token);
        resolve(token);
      }, { once: true });
    });
  }
}
