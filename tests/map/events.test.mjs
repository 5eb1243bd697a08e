import assert from "node:assert/strict";
import test from "node:test";
import { EventParser } from "../../src/map/page/events.mjs";

const TEXT = ": hello\r\n\r\nevent: at\ndata: {\"id\":\"kiwi\"}\n\nevent:mark\rid: 18db914f4d5075d3-7\rdata:{}\r\rdata: a\r\ndata:  b\r\n\r\n\nid: x\n\n";
const EVENTS = [
  { name: "at", data: '{"id":"kiwi"}', id: "" },
  { name: "mark", data: "{}", id: "18db914f4d5075d3-7" },
  { name: "message", data: "a\n b", id: "18db914f4d5075d3-7" },
];

test("events are the same however the stream is cut", () => {
  for (let size = 1; size <= TEXT.length; size++) {
    const parser = new EventParser();
    const events = [];
    for (let at = 0; at < TEXT.length; at += size) events.push(...parser.push(TEXT.slice(at, at + size)));
    assert.deepEqual(events, EVENTS, `pieces of ${size}`);
    assert.equal(parser.lastId, "x");
  }
});

test("an event that is not complete is no event", () => {
  const parser = new EventParser();
  assert.deepEqual(parser.push("event: at\ndata: 1\n"), []);
  assert.deepEqual(parser.push("\n"), [{ name: "at", data: "1", id: "" }]);
});

test("an id with a zero is ignored, unknown fields too", () => {
  const parser = new EventParser();
  assert.deepEqual(parser.push("id: a\0b\nretry: 5\nx\ndata\n\n"), [{ name: "message", data: "", id: "" }]);
});

test("a line or an event without end is an error", () => {
  assert.throws(() => new EventParser().push("data: " + "x".repeat(2 << 20)), /1 MiB/);
  assert.throws(() => new EventParser().push("data: xxxxxxxx\n".repeat(1 << 18)), /1 MiB/);
});
