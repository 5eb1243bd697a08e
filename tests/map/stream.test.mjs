import assert from "node:assert/strict";
import test, { mock } from "node:test";
import { ChangeStream } from "../../src/map/page/stream.mjs";

const EPOCH = "18db914f4d5075d3";
const at = (id) => `event: at\ndata: {"id":"${id}"}\n\n`;
const mark = (sequence, epoch = EPOCH) => `event: mark\nid: ${epoch}-${sequence}\ndata: {"epoch":"${epoch}","sequence":${sequence}}\n\n`;

/** A server whose answers the test gives, and the stream that asks it. */
class Lab {
  requests = [];
  seen = [];
  now = 1_000_000;
  mayResume = true;

  constructor() {
    const handler = {
      mayResume: () => this.mayResume,
      snapshotBegins: () => this.seen.push("begin"),
      snapshotEnds: () => this.seen.push("end"),
      events: (events) => this.seen.push(...events.map(({ name, value }) => `${name} ${value.id ?? value.sequence}`)),
      changed: () => this.seen.push(this.stream.phase),
    };
    this.stream = new ChangeStream((path, options) => this.#ask(path, options), handler, () => this.now);
  }

  #ask(path, { headers, signal }) {
    return new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
      this.requests.push({ path, headers, resolve, reject, signal });
    });
  }

  /** Answers the last request. Returns the body's controller. */
  async answer(status = 200) {
    let body;
    const stream = new ReadableStream({ start: (controller) => (body = controller) });
    const request = this.requests.at(-1);
    request.signal.addEventListener("abort", () => body.error(request.signal.reason));
    request.resolve({ status, body: stream });
    await settled();
    return { say: async (text) => (body.enqueue(new TextEncoder().encode(text)), settled()), end: async () => (body.close(), settled()) };
  }

  take() {
    return this.seen.splice(0);
  }
}

const settled = async () => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
  await new Promise((resolve) => setImmediate(resolve));
};

test.beforeEach(() => mock.timers.enable({ apis: ["setTimeout"] }));
test.afterEach(() => mock.timers.reset());

test("a snapshot comes first, then changes", async () => {
  const lab = new Lab();
  lab.stream.start();
  const body = await lab.answer();
  await body.say(at("kiwi") + mark(1));
  assert.deepEqual(lab.take(), ["connecting", "loading", "begin", "at kiwi", "mark 1", "end", "live"]);
  await body.say(at("plum"));
  await body.say(mark(2));
  assert.deepEqual(lab.take(), ["at plum", "mark 2"]);
  assert.equal(lab.requests[0].path, "v1/changes");
});

test("after the end of the stream the next one continues after the last mark", async () => {
  const lab = new Lab();
  lab.stream.start();
  const body = await lab.answer();
  await body.say(mark(7));
  await body.end();
  assert.equal(lab.stream.phase, "waiting");
  mock.timers.tick(500);
  await settled();
  assert.equal(lab.requests[1].headers["Last-Event-ID"], `${EPOCH}-7`);
  lab.take();
  await (await lab.answer()).say(mark(9));
  assert.deepEqual(lab.take(), ["loading", "begin", "mark 9", "live"]);
});

test("another epoch is a whole snapshot", async () => {
  const lab = new Lab();
  lab.stream.start();
  const body = await lab.answer();
  await body.say(mark(7));
  await body.end();
  mock.timers.tick(500);
  await settled();
  lab.take();
  await (await lab.answer()).say(mark(2, "0000000000000000"));
  assert.deepEqual(lab.take(), ["loading", "begin", "mark 2", "end", "live"]);
});

test("a page that cannot end reports by itself asks for a whole snapshot", async () => {
  const lab = new Lab();
  lab.mayResume = false;
  lab.stream.start();
  const body = await lab.answer();
  await body.say(mark(7));
  await body.end();
  mock.timers.tick(500);
  await settled();
  assert.equal(lab.requests[1].headers["Last-Event-ID"], undefined);
});

test("attempts back off up to ten seconds, and a mark resets the delay", async () => {
  const lab = new Lab();
  lab.stream.start();
  const delays = [];
  for (let i = 0; i < 8; i++) {
    lab.requests.at(-1).reject(new TypeError("Failed to fetch"));
    await settled();
    delays.push(lab.stream.retryAt - lab.now);
    assert.equal(lab.stream.why, "the server does not answer");
    mock.timers.tick(10_000);
    await settled();
  }
  delays.forEach((delay, i) => {
    const whole = Math.min(10_000, 500 * 2 ** i);
    assert.ok(delay >= whole / 2 && delay <= whole, `attempt ${i}: ${delay}`);
  });
  const body = await lab.answer();
  await body.say(mark(1));
  await body.end();
  assert.ok(lab.stream.retryAt - lab.now <= 500);
});

test("a stream that is silent for too long is opened again", async () => {
  const lab = new Lab();
  lab.stream.start();
  const body = await lab.answer();
  await body.say(mark(1));
  lab.now += 35_000;
  lab.stream.check();
  assert.equal(lab.requests.length, 1);
  lab.now += 1;
  lab.stream.check();
  await settled();
  assert.equal(lab.requests.length, 2);
  assert.ok(lab.requests[0].signal.aborted);
  assert.equal(lab.stream.phase, "connecting");
});

test("a comment is a sign of life", async () => {
  const lab = new Lab();
  lab.stream.start();
  const body = await lab.answer();
  await body.say(mark(1));
  lab.now += 30_000;
  await body.say(":\n");
  lab.now += 30_000;
  lab.stream.check();
  assert.equal(lab.requests.length, 1);
});

test("a server that wants a token is not asked again before there is one", async () => {
  for (const [status, phase] of [[401, "signed out"], [403, "refused"]]) {
    const lab = new Lab();
    lab.stream.start();
    await lab.answer(status);
    mock.timers.tick(60_000);
    lab.now += 60_000;
    lab.stream.check();
    await settled();
    assert.deepEqual([lab.stream.phase, lab.requests.length], [phase, 1]);
  }
});

test("a full server is asked again", async () => {
  const lab = new Lab();
  lab.stream.start();
  await lab.answer(503);
  assert.deepEqual([lab.stream.phase, lab.stream.why], ["waiting", "the server answered 503"]);
});

test("a paused stream is closed and opens on demand", async () => {
  const lab = new Lab();
  lab.stream.start();
  const body = await lab.answer();
  await body.say(mark(1));
  lab.stream.pause();
  await settled();
  assert.ok(lab.requests[0].signal.aborted);
  mock.timers.tick(60_000);
  assert.deepEqual([lab.stream.phase, lab.requests.length], ["paused", 1]);
  lab.stream.start();
  await settled();
  assert.equal(lab.requests.length, 2);
});
