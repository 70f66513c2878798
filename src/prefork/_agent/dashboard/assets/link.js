// The connection to the daemon's agent: messages as they come, and another attempt whenever it is lost.

const SILENT = 12000; // Milliseconds without a message after which a connection counts as lost: one a second is usual, but
// a master that does not answer is waited for.
const HIDDEN = 300000; // Milliseconds after which a hidden tab stops watching.
const LONGEST = 10000; // Milliseconds between two attempts, at most.

export class Link {
  // `message(data)` for each message, `state(text, lost)` whenever the connection changes.
  constructor(message, state) {
    this.message = message;
    this.state = state;
    this.pause = 250;
    this.lostAt = null;
    document.addEventListener("visibilitychange", () => this.watched());
    window.addEventListener("online", () => this.now());
  }

  open() {
    this.close();
    this.source = new EventSource("/stream");
    this.source.onmessage = (event) => this.received(event);
    this.source.onerror = () => this.lost();
    this.listen();
  }

  close() {
    clearTimeout(this.retry);
    clearTimeout(this.silence);
    this.source?.close();
  }

  // Try again at once.
  now() {
    if (this.lostAt) this.open();
  }

  received(event) {
    this.pause = 250;
    this.lostAt = null;
    this.listen();
    this.message(JSON.parse(event.data));
    this.state("Live", false);
  }

  listen() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.lost(), SILENT);
  }

  lost() {
    this.close();
    this.lostAt ??= new Date();
    this.retry = setTimeout(() => this.open(), this.pause);
    this.pause = Math.min(LONGEST, this.pause * 2);
    // A new agent takes over within moments after a reload: that is no reason to alarm anybody.
    if (Date.now() - this.lostAt < 1000) return;
    this.state(`Connection lost at ${this.lostAt.toLocaleTimeString("en-GB")}; trying again`, true);
  }

  watched() {
    clearTimeout(this.leave);
    if (document.hidden) this.leave = setTimeout(() => this.rest(), HIDDEN);
    else if (this.resting) this.open();
    this.resting = false;
  }

  rest() {
    this.close();
    this.resting = true;
    this.state("Paused while the tab is hidden", false);
  }
}
