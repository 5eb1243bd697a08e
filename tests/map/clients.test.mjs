import assert from "node:assert/strict";
import test from "node:test";
import { ageClass, Clients, matches, positionAt, TRAIL_MS } from "../../src/map/page/clients.mjs";
import { nearestItem } from "../../src/map/page/hit.mjs";
import { View, xOf, yOf } from "../../src/map/page/projection.mjs";

const statement = (id, latitude, longitude, more = {}) => ({
  id, latitude, longitude, time: "1000.5", server: "Riley", skew: "+0.25", line: `AT Riley +0.25 ${id}`, ...more,
});

function world() {
  const view = new View();
  view.resize(1000, 1000);
  view.moveTo(0.5, 0.5, 1000);
  return view;
}

test("a dot glides to its new place, and then is there", () => {
  const clients = new Clients();
  const kiwi = clients.at(statement("kiwi", 0, 0), 1000, world());
  clients.at(statement("kiwi", 0, 36), 2000, world());
  assert.deepEqual(positionAt(kiwi, 2000), [0.5, yOf(0)]);
  const [x] = positionAt(kiwi, 2300);
  assert.ok(x > 0.5 && x < 0.6);
  assert.deepEqual(positionAt(kiwi, 1e6), [0.6, yOf(0)]);
  assert.ok(clients.glidingUntil > 2000);
});

test("a dot that moves again while it glides starts from where it is", () => {
  const clients = new Clients();
  const kiwi = clients.at(statement("kiwi", 0, 0), 1000, world());
  clients.at(statement("kiwi", 0, 36), 2000, world());
  const before = positionAt(kiwi, 2300);
  clients.at(statement("kiwi", 10, 36), 2300, world());
  assert.deepEqual(positionAt(kiwi, 2300), before);
});

test("without a glide a dot jumps", () => {
  const clients = new Clients();
  const kiwi = clients.at(statement("kiwi", 0, 0), 1000, null);
  clients.at(statement("kiwi", 0, 36), 2000, null);
  assert.deepEqual(positionAt(kiwi, 2000), [0.6, yOf(0)]);
  assert.equal(clients.glidingUntil, 0);
});

test("a way across 180 degrees is the short one", () => {
  const clients = new Clients();
  const kiwi = clients.at(statement("kiwi", 0, 179), 1000, world());
  clients.at(statement("kiwi", 0, -179), 2000, world());
  assert.ok(Math.abs(kiwi.x - (xOf(179) + 2 / 360)) < 1e-12);
  clients.at(statement("kiwi", 0, 179), 3000, world());
  assert.ok(Math.abs(kiwi.x - xOf(179)) < 1e-12);
  assert.equal(kiwi.trail.length, 9);
});

test("a trail is bounded by number and by age", () => {
  const clients = new Clients();
  const kiwi = clients.at(statement("kiwi", 0, 0), 0, null);
  for (let i = 1; i < 200; i++) clients.at(statement("kiwi", 0, i / 10), i, null);
  assert.equal(kiwi.trail.length, 48 * 3);
  clients.at(statement("kiwi", 1, 1), TRAIL_MS + 190, null);
  assert.ok(kiwi.trail[2] >= 190 && kiwi.trail.length < 36);
});

test("a snapshot ends the clients that it does not have", () => {
  const clients = new Clients();
  clients.beginSnapshot();
  clients.at(statement("kiwi", 0, 0), 0, null);
  const plum = clients.at(statement("plum", 0, 0), 0, null);
  clients.endSnapshot();
  clients.beginSnapshot();
  clients.at(statement("kiwi", 0, 0), 0, null);
  assert.deepEqual(clients.endSnapshot(), [plum]);
  assert.ok(plum.gone && clients.size === 1);
});

test("a client that leaves is gone, and an unknown one changes nothing", () => {
  const clients = new Clients();
  const kiwi = clients.at(statement("kiwi", 0, 0), 0, null);
  assert.equal(clients.left({ id: "plum" }), undefined);
  assert.equal(clients.left({ id: "kiwi" }), kiwi);
  assert.equal(clients.size, 0);
});

test("IDs that are not UTF-8 are told apart by their paths", () => {
  const clients = new Clients();
  clients.at(statement("\ufffd", 0, 0, { path: "%FF" }), 0, null);
  clients.at(statement("\ufffd", 0, 0, { path: "%FE" }), 0, null);
  assert.equal(clients.size, 2);
  clients.left({ id: "\ufffd", path: "%FE" });
  assert.deepEqual([...clients.byKey.keys()], ["%FF"]);
});

test("IDs that are names of properties are clients like others", () => {
  const clients = new Clients();
  for (const id of ["__proto__", "constructor", "toString"]) clients.at(statement(id, 0, 0), 0, null);
  assert.equal(clients.size, 3);
});

test("a report that is over ends by itself", () => {
  const clients = new Clients();
  const kiwi = clients.at(statement("kiwi", 0, 0), 0, null);
  assert.equal(kiwi.receivedMs, 1_000_750);
  assert.deepEqual(clients.expire(1_000_750 + 5000, 0), []);
  assert.deepEqual(clients.expire(1_000_750 + 5000, 5000), []);
  assert.deepEqual(clients.expire(1_000_750 + 5001, 5000), [kiwi]);
});

test("ages have their shapes", () => {
  assert.deepEqual([-5000, 0, 29_999, 30_000, 300_000, 3_600_000, 1e12].map(ageClass), [0, 0, 0, 1, 2, 3, 3]);
});

test("a search looks for all words in ID and server", () => {
  const client = { id: "Kiwi/phone", server: "Riley" };
  assert.ok(matches(client, ["kiwi", "ril"]) && !matches(client, ["kiwi", "jaquez"]) && matches(client, []));
});

test("the nearest dot in reach is hit, across 180 degrees too", () => {
  const view = world();
  view.moveTo(xOf(179.99), 0.5, 100_000);
  const items = [{ x: xOf(179.98) }, { x: xOf(-179.99) }, { x: xOf(-179.98) }];
  const hit = (px, reach) => nearestItem(items, view, px, 500, reach, (item) => [item.x, 0.5]);
  const pixel = (longitude) => view.px(xOf(longitude));
  assert.equal(hit(pixel(-179.99) + 0.5, 10), items[1]);
  assert.equal(hit(pixel(-179.98) + 9, 10), items[2]);
  assert.equal(hit(pixel(-179.98) + 11, 10), null);
  assert.equal(hit(pixel(-179.98) + 11, 22), items[2]);
});

test("of dots at one place the one on top is hit", () => {
  const items = [{ n: 1 }, { n: 2 }];
  assert.equal(nearestItem(items, world(), 500, 500, 10, () => [0.5, 0.5]), items[1]);
});
