import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { readOutline, tracePaths, tracePolyline } from "../../src/map/page/outline.mjs";
import { View, xOf, yOf } from "../../src/map/page/projection.mjs";

const data = (name) => readFileSync(new URL(`../../data/${name}.bin`, import.meta.url));

/** A path that keeps its lines instead of drawing them. */
class Recorder {
  lines = [];
  moveTo(x, y) {
    this.lines.push([[x, y]]);
  }
  lineTo(x, y) {
    this.lines.at(-1).push([x, y]);
  }
  closePath() {
    this.lines.at(-1).push(this.lines.at(-1)[0]);
  }
}

/** Whether a pixel is inside of closed lines by the even-odd rule. */
function isInside(lines, px, py) {
  let inside = false;
  for (const line of lines) {
    for (let i = 1; i < line.length; i++) {
      const [[x0, y0], [x1, y1]] = [line[i - 1], line[i]];
      if (y0 > py !== y1 > py && px < x0 + ((py - y0) / (y1 - y0)) * (x1 - x0)) inside = !inside;
    }
  }
  return inside;
}

const LAND = [["Kansas", 38.5, -98], ["Sahara", 23, 10], ["Chukotka, east of 180°", 67, -176], ["Siberia", 65, 175], ["Antarctica", -80, 0], ["Antarctica at 180°", -84.8, 180], ["Wrangel Island at 180°", 71.2, 180], ["Australia", -25, 134]];
const SEA = [["Atlantic", 30, -40], ["Pacific at 180°", 10, 180], ["Caspian Sea", 41.8, 50.5], ["Arctic Ocean", 84.5, 0], ["Southern Ocean", -60, -180]];

for (const name of ["land-110m", "land-50m"]) {
  const rings = readOutline(data(name));

  test(`${name}: land is land and sea is sea, at every scale`, () => {
    for (const scale of [1000, 20_000]) {
      for (const [places, expected] of [[LAND, true], [SEA, false]]) {
        for (const [place, latitude, longitude] of places) {
          const view = new View();
          view.resize(1000, 700);
          view.moveTo(xOf(longitude), yOf(latitude), scale);
          const [land, coast] = [new Recorder(), new Recorder()];
          tracePaths(rings, view, land, coast);
          assert.equal(isInside(land.lines, view.px(xOf(longitude)), view.py(yOf(latitude))), expected, `${place} at ${scale}`);
        }
      }
    }
  });

  test(`${name}: no coast along 180° or along a pole, and nothing far outside of the view`, () => {
    for (const x of [0.5, 0.999, 0.001]) {
      const view = new View();
      view.resize(900, 900);
      view.moveTo(x, 0.5, 900);
      const [land, coast] = [new Recorder(), new Recorder()];
      tracePaths(rings, view, land, coast);
      const seam = view.px(1);
      for (const line of coast.lines) {
        for (let i = 1; i < line.length; i++) {
          const [[x0, y0], [x1, y1]] = [line[i - 1], line[i]];
          assert.ok(Math.abs(x0 - seam) > 0.01 || Math.abs(x1 - seam) > 0.01 || Math.abs(y1 - y0) < 3, "a line along 180°");
          assert.ok(Math.hypot(x1 - x0, y1 - y0) < 200, "a line across the map");
        }
      }
      for (const [px, py] of [...land.lines, ...coast.lines].flat()) {
        assert.ok(px >= -8 && px <= 908 && py >= -8 && py <= 908, `${px}, ${py}`);
      }
    }
  });
}

test("a damaged file is an error", () => {
  const file = data("land-110m");
  assert.throws(() => readOutline(file.subarray(0, file.length - 1)), /within a number/);
  assert.throws(() => readOutline(Buffer.concat([file, Buffer.from([0])])), /end of the file/);
  assert.throws(() => readOutline(Buffer.concat([Buffer.from([2]), file.subarray(1)])), /version/);
});

test("an open line that leaves the view and comes back has two parts", () => {
  const path = new Recorder();
  const pixels = [1, 5, 20, 5, 20, 8, 1, 8];
  tracePolyline(pixels, pixels.length, { left: 0, top: 0, right: 10, bottom: 10 }, path);
  assert.deepEqual(path.lines, [[[1, 5], [10, 5]], [[10, 8], [1, 8]]]);
});
