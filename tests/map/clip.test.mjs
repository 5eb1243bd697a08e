import assert from "node:assert/strict";
import test from "node:test";
import { clipPolygon, clipSegment } from "../../src/map/page/clip.mjs";

const box = { left: 0, top: 0, right: 10, bottom: 10 };

function area(points) {
  let sum = 0;
  for (let i = 0; i < points.length; i += 2) {
    const j = (i + 2) % points.length;
    sum += points[i] * points[j + 1] - points[j] * points[i + 1];
  }
  return Math.abs(sum) / 2;
}

test("a polygon inside stays as it is", () => {
  assert.deepEqual(clipPolygon([1, 1, 9, 1, 5, 9], box), [1, 1, 9, 1, 5, 9]);
});

test("a polygon outside vanishes", () => {
  assert.deepEqual(clipPolygon([11, 1, 19, 1, 15, 9], box), []);
  assert.deepEqual(clipPolygon([1, -9, 9, -9, 5, -1], box), []);
});

test("a polygon around the box becomes the box", () => {
  assert.equal(area(clipPolygon([-1e7, -1e7, 1e7, -1e7, 1e7, 1e7, -1e7, 1e7], box)), 100);
});

test("a polygon across a side loses what is beyond", () => {
  assert.equal(area(clipPolygon([5, 2, 25, 2, 25, 4, 5, 4], box)), 10);
  assert.equal(area(clipPolygon([-5, -5, 5, -5, 5, 5, -5, 5], box)), 25);
});

test("random polygons keep the area that a count of points finds", () => {
  let seed = 7;
  const random = () => ((seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648) * 30 - 10;
  for (let n = 0; n < 20; n++) {
    const triangle = [random(), random(), random(), random(), random(), random()];
    let inside = 0;
    const steps = 200;
    for (let i = 0; i < steps * steps; i++) {
      const [x, y] = [(((i % steps) + 0.5) / steps) * 10, ((Math.floor(i / steps) + 0.5) / steps) * 10];
      const side = (a, b) => (triangle[b] - triangle[a]) * (y - triangle[a + 1]) - (triangle[b + 1] - triangle[a + 1]) * (x - triangle[a]);
      const sides = [side(0, 2), side(2, 4), side(4, 0)];
      if (sides.every((s) => s >= 0) || sides.every((s) => s <= 0)) inside++;
    }
    assert.ok(Math.abs(area(clipPolygon(triangle, box)) - (inside / steps / steps) * 100) < 1, `${triangle}`);
  }
});

test("a segment is cut at the sides", () => {
  assert.deepEqual(clipSegment(-5, 5, 15, 5, box), [0, 5, 10, 5]);
  assert.deepEqual(clipSegment(2, 3, 4, 5, box), [2, 3, 4, 5]);
  assert.equal(clipSegment(-5, 5, -1, 5, box), null);
  assert.equal(clipSegment(-5, 4, 4, -5, box), null);
  assert.deepEqual(clipSegment(5, -1e9, 5, 1e9, box).map(Math.round), [5, 0, 5, 10]);
});
