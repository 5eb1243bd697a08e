// The stream of changes: opens it, reads it, and opens it again when it ends. No DOM: what happens goes to callbacks.

import { EventParser } from "./events.mjs";

/** Delays in ms before another attempt: the first, doubled up to the last, each between half and whole. */
const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 10_000;

/** The silence in ms after which a stream is dead: a comment comes every 15 s. */
const SILENCE_MS = 35_000;

/** The silence in ms after which what is visible counts as old: two marks are missing. */
export const OLD_MS = 20_000;

/**
 * The phases: "connecting", "loading" (the snapshot arrives), "live", "waiting" (for the next attempt), "paused" (the
 * page is hidden), "signed out" (the server wants a token), "refused" (the token may not read).
 */
export class ChangeStream {
  phase = "connecting";
  /** The reason of the last failure. */
  why = "";
  /** The moment of the last byte, in ms; 0: none yet. */
  heardAt = 0;
  /** The moment of the next attempt in ms. */
  retryAt = 0;
  #ask;
  #handler;
  #now;
  #timer = null;
  #abort = null;
  #delay = RETRY_MIN_MS;
  #lastId = "";
  #run = 0;

  /**
   * `ask(path, options)` is fetch with the token. The handler has `snapshotBegins()`, `events([{ name, value }])`,
   * `snapshotEnds()`, `changed()` after a change of the phase, and `mayResume()`: whether the stream may continue after
   * its last mark.
   */
  constructor(ask, handler, now = () => Date.now()) {
    [this.#ask, this.#handler, this.#now] = [ask, handler, now];
  }

  /** Opens the stream, or opens it anew. */
  start() {
    this.#stop();
    const run = ++this.#run;
    this.#read(run).catch((error) => {
      if (run !== this.#run) return;
      // A browser does not tell a page why a connection failed.
      this.why = error instanceof TypeError ? "the server does not answer" : error.message;
      this.retryAt = this.#now() + this.#delay * (0.5 + Math.random() / 2);
      this.#delay = Math.min(RETRY_MAX_MS, this.#delay * 2);
      this.#enter("waiting");
      this.#timer = setTimeout(() => this.start(), this.retryAt - this.#now());
    });
  }

  /** Closes the stream until the next `start`. */
  pause() {
    this.#stop();
    this.#run++;
    this.#enter("paused");
  }

  /** Forgets the position in the stream, since another token sees other clients. */
  reset() {
    this.#lastId = "";
    this.#delay = RETRY_MIN_MS;
  }

  /** Ends a stream that has been silent for too long; to be called every few seconds. */
  check() {
    const isOpen = this.phase === "live" || this.phase === "loading" || this.phase === "connecting";
    if (isOpen && this.#now() - Math.max(this.heardAt, this.#openedAt) > SILENCE_MS) {
      this.why = "the server is silent";
      this.start();
    }
  }

  #openedAt = 0;

  #stop() {
    clearTimeout(this.#timer);
    this.#abort?.abort();
    this.#abort = null;
  }

  #enter(phase) {
    this.phase = phase;
    this.#handler.changed();
  }

  async #read(run) {
    this.#openedAt = this.#now();
    this.#abort = new AbortController();
    this.#enter("connecting");
    const resumed = this.#lastId !== "" && this.#handler.mayResume() ? this.#lastId : "";
    const headers = { Accept: "text/event-stream", ...(resumed && { "Last-Event-ID": resumed }) };
    const response = await this.#ask("v1/changes", { headers, signal: this.#abort.signal });
    if (run !== this.#run) return;
    if (response.status === 401 || response.status === 403) {
      this.#enter(response.status === 401 ? "signed out" : "refused");
      return;
    }
    if (response.status !== 200) throw new Error(`the server answered ${response.status}`);
    this.heardAt = this.#now();
    this.#enter("loading");
    this.#handler.snapshotBegins();
    await this.#readBody(run, response.body, resumed);
    if (run === this.#run) throw new Error("the server closed the stream");
  }

  async #readBody(run, body, resumed) {
    const reader = body.getReader();
    const decoder = new TextDecoder();
    const parser = new EventParser();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || run !== this.#run) return;
      this.heardAt = this.#now();
      let batch = [];
      for (const event of parser.push(decoder.decode(value, { stream: true }))) {
        const data = JSON.parse(event.data);
        batch.push({ name: event.name, value: data });
        if (event.name !== "mark") continue;
        this.#lastId = event.id;
        if (this.phase !== "loading") continue;
        this.#handler.events(batch);
        batch = [];
        // A resumed stream has only what changed, unless the server began another epoch meanwhile.
        if (resumed.split("-")[0] !== data.epoch) this.#handler.snapshotEnds();
        [this.#delay, this.why] = [RETRY_MIN_MS, ""];
        this.#enter("live");
      }
      if (batch.length > 0) this.#handler.events(batch);
    }
  }
}
