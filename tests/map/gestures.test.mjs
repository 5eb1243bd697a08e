import assert from "node:assert/strict";
import test from "node:test";
import { listen } from "../../src/map/page/gestures.mjs";

/** An element of 800 by 600 pixels at (100, 50), and what the handler is called with. */
function lab() {
  const calls = [];
  const listeners = new Map();
  const element = {
    addEventListener: (name, listener) => listeners.set(name, listener),
    getBoundingClientRect: () => ({ left: 100, top: 50 }),
    setPointerCapture: () => {},
    closest: () => null,
  };
  const handler = Object.fromEntries(
    ["pan", "zoom", "click", "hover", "leave", "showAll"].map((name) => [name, (...values) => calls.push([name, ...values])]),
  );
  listen(element, handler);
  const send = (type, values = {}) => {
    const event = { type, target: element, button: 0, pointerId: 1, pointerType: "mouse", preventDefault: () => (event.prevented = true), ...values };
    listeners.get(type)(event);
    return event;
  };
  const pointer = (type, x, y, more) => send(`pointer${type}`, { clientX: x + 100, clientY: y + 50, ...more });
  return { calls, send, pointer };
}

test("a press without a way is a click", () => {
  const { calls, pointer } = lab();
  pointer("down", 10, 20);
  pointer("move", 12, 21);
  pointer("up", 12, 21);
  assert.deepEqual(calls, [["click", 12, 21, "mouse"]]);
});

test("a press with a way moves the map and is no click", () => {
  const { calls, pointer } = lab();
  pointer("down", 10, 20);
  pointer("move", 40, 25);
  pointer("up", 40, 25);
  assert.deepEqual(calls, [["pan", 30, 5]]);
});

test("two fingers zoom around their middle, and are no click", () => {
  const { calls, pointer } = lab();
  pointer("down", 100, 100, { pointerId: 1, pointerType: "touch" });
  pointer("down", 200, 100, { pointerId: 2, pointerType: "touch" });
  pointer("move", 300, 100, { pointerId: 2, pointerType: "touch" });
  assert.deepEqual(calls, [["pan", 50, 0], ["zoom", 2, 200, 100]]);
  pointer("up", 300, 100, { pointerId: 2, pointerType: "touch" });
  pointer("up", 100, 100, { pointerId: 1, pointerType: "touch" });
  assert.equal(calls.length, 2);
});

test("a finger that is left after two moves the map on", () => {
  const { calls, pointer } = lab();
  pointer("down", 100, 100, { pointerId: 1 });
  pointer("down", 200, 100, { pointerId: 2 });
  pointer("cancel", 200, 100, { pointerId: 2 });
  pointer("move", 110, 100, { pointerId: 1 });
  pointer("up", 110, 100, { pointerId: 1 });
  assert.deepEqual(calls, [["pan", 10, 0]]);
});

test("a pointer that is not pressed hovers", () => {
  const { calls, pointer, send } = lab();
  pointer("move", 5, 6);
  send("pointerleave");
  assert.deepEqual(calls, [["hover", 5, 6, "mouse"], ["leave"]]);
});

test("a wheel zooms at the pointer and does not scroll the page", () => {
  const { calls, send } = lab();
  const event = send("wheel", { clientX: 110, clientY: 60, deltaY: -100, deltaMode: 0 });
  assert.ok(event.prevented);
  assert.deepEqual(calls[0].slice(2), [10, 10]);
  assert.ok(calls[0][1] > 1);
  send("wheel", { clientX: 0, clientY: 0, deltaY: 1e9, deltaMode: 0 });
  assert.ok(calls[1][1] > 0.1 && calls[1][1] < 1);
});

test("keys move and zoom, and other keys are left to the browser", () => {
  const { calls, send } = lab();
  for (const key of ["ArrowLeft", "ArrowUp", "+", "-", "0"]) assert.ok(send("keydown", { key }).prevented);
  assert.deepEqual(calls.map(([name]) => name), ["pan", "pan", "zoom", "zoom", "showAll"]);
  assert.ok(calls[0][1] > 0 && calls[1][2] > 0 && calls[2][1] > 1 && calls[3][1] < 1);
  for (const event of [{ key: "Tab" }, { key: "+", ctrlKey: true }, { key: "0", target: {} }]) {
    assert.ok(!send("keydown", event).prevented);
  }
  assert.equal(calls.length, 5);
});
