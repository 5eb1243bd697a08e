import assert from "node:assert/strict";
import test from "node:test";
import { boundsOf, circle, distanceKm, EDGE_LATITUDE, latitudeOf, longitudeOf, nearestCopy, View, xOf, yOf } from "../../src/map/page/projection.mjs";

const near = (a, b, difference = 1e-9) => assert.ok(Math.abs(a - b) <= difference, `${a} is not ${b}`);

function viewOf(width, height, x, y, scale) {
  const view = new View();
  view.resize(width, height);
  view.moveTo(x, y, scale);
  return view;
}

test("a point and its projection agree in both directions", () => {
  for (const [latitude, longitude] of [[34.06893, -118.445127], [0, 0], [-85, 179.9], [85.05, -180], [51.5, -0.12]]) {
    near(latitudeOf(yOf(latitude)), latitude);
    near(longitudeOf(xOf(longitude)), longitude);
  }
  // Known values: the tile of Los Angeles at zoom 10 of every Mercator map is 175, 409.
  assert.equal(Math.floor(xOf(-118.445127) * 1024), 175);
  assert.equal(Math.floor(yOf(34.06893) * 1024), 408);
});

test("the poles are on the edge of the map", () => {
  assert.equal(yOf(90), yOf(EDGE_LATITUDE));
  near(yOf(90), 0);
  near(yOf(-90), 1);
  near(EDGE_LATITUDE, 85.0511287798066);
});

test("a point has its pixel in the copy of the world that is nearest to the centre", () => {
  const view = viewOf(800, 600, xOf(179), 0.5, 4000);
  near(view.px(xOf(-179)) - view.px(xOf(179)), (2 / 360) * 4000, 1e-6);
  near(view.px(view.xAt(123)), 123, 1e-6);
  near(view.py(view.yAt(77)), 77, 1e-6);
  assert.equal(nearestCopy(0.1, 0.9), 1.1);
});

test("a zoom keeps the point under the pointer", () => {
  const view = viewOf(800, 600, 0.4, 0.4, 5000);
  const [x, y] = [view.xAt(100), view.yAt(500)];
  view.zoom(3, 100, 500);
  near(view.px(x), 100, 1e-6);
  near(view.py(y), 500, 1e-6);
});

test("the view leaves the map only as far as a dot on its edge needs, and shows no place twice", () => {
  const view = viewOf(800, 600, 0.5, 0.5, 1);
  assert.equal(view.scale, 800);
  for (const far of [1e6, -1e6]) {
    view.pan(far, far);
    assert.ok(view.py(0) <= 24 + 1e-9 && view.py(1) >= 600 - 24 - 1e-9 && view.x >= 0 && view.x < 1);
  }
  view.zoom(1e9);
  assert.equal(view.scale, 2 ** 25);
  const [x, y] = [view.x, view.y];
  view.zoom(2, 100, 100);
  assert.deepEqual([view.x, view.y], [x, y]);
  view.resize(300, 2000);
  assert.ok(view.scale >= 2000);
});

test("the box around points takes the short way across 180 degrees", () => {
  const points = [[xOf(179), 0.5], [xOf(-179), 0.6], [xOf(-170), 0.4]];
  const bounds = boundsOf(points);
  near(bounds.x, xOf(179));
  near(bounds.width, 11 / 360);
  near(bounds.height, 0.2);
  assert.equal(boundsOf([]), null);
  const view = viewOf(800, 600, 0.5, 0.5, 800);
  view.fit(points, 1e6);
  for (const [x, y] of points) assert.ok(view.px(x) > 0 && view.px(x) < 800 && view.py(y) > 0 && view.py(y) < 600);
});

test("points all over the world do not turn it around", () => {
  const view = viewOf(800, 600, 0.1, 0.5, 800);
  view.fit([[0.05, 0.4], [0.35, 0.5], [0.65, 0.4], [0.95, 0.5]], 1e6);
  assert.equal(view.x, 0.5);
});

test("distances agree with those of the servers", () => {
  // Half a turn is the longest: 20015.1 km on this sphere.
  near(distanceKm({ latitude: 90, longitude: 0 }, { latitude: -90, longitude: 50 }), Math.PI * 6371.0088, 1e-6);
  near(distanceKm({ latitude: 0, longitude: 179.5 }, { latitude: 0, longitude: -179.5 }), (Math.PI * 6371.0088) / 180, 1e-9);
});

test("every point of a circle has its distance, and the circle is continuous across 180 degrees", () => {
  for (const [latitude, longitude] of [[34, -118], [-17, 179.9], [60, -180]]) {
    const points = circle(latitude, longitude, 300);
    for (let i = 0; i < points.length; i += 2) {
      const point = { latitude: latitudeOf(points[i + 1]), longitude: longitudeOf(points[i]) };
      near(distanceKm({ latitude, longitude }, point), 300, 1e-6);
      if (i > 0) assert.ok(Math.abs(points[i] - points[i - 2]) < 0.01);
    }
    near(points[0], points.at(-2), 1e-9);
  }
});

test("a circle around a pole goes around the world", () => {
  for (const latitude of [89, -89]) {
    const points = circle(latitude, 0, 500);
    near(Math.abs(points.at(-2) - points[0]), 1, 1e-9);
    for (let i = 2; i < points.length; i += 2) assert.ok(Math.abs(points[i] - points[i - 2]) < 0.1);
  }
});
