// The coast lines: the reader of the files that data/outline.py writes, and their way into a path of the canvas.

import { clipPolygon, clipSegment } from "./clip.mjs";
import { xOf, yOf } from "./projection.mjs";

/**
 * Reads a file. Returns its rings: `points`, an array x, y, x, y, …, and `box`, the rectangle around it. A ring that
 * crosses 180° continues beyond 0 or 1. A ring around a pole is closed along the edge of the map. `coast` is the number
 * of its points that are a coast.
 */
export function readOutline(bytes) {
  const numbers = new Numbers(bytes);
  const version = numbers.next();
  if (version !== 1) throw new Error(`outline: expected version 1, got ${version}`);
  const unitsPerDegree = numbers.next();
  const rings = [];
  for (let left = numbers.next(); left > 0; left--) rings.push(readRing(numbers, unitsPerDegree));
  if (!numbers.atEnd()) throw new Error("outline: expected the end of the file after the last ring");
  return rings;
}

function readRing(numbers, unitsPerDegree) {
  const count = numbers.next();
  const points = [];
  let [longitude, latitude] = [0, 0];
  for (let i = 0; i < count; i++) {
    longitude += numbers.signed();
    latitude += numbers.signed();
    points.push(xOf(longitude / unitsPerDegree), yOf(latitude / unitsPerDegree));
  }
  // The way back to the first point is the short one around the earth, so this is 0, or a whole turn at a pole.
  const turns = Math.round(points.at(-2) - points[0]);
  const isCut = turns === 0 && isOnEdge(points[0]) && isOnEdge(points.at(-2));
  const end = points.length / 2;
  points.push(points[0] + turns, points[1]);
  const coast = isCut ? end : end + 1;
  if (turns !== 0) {
    const pole = latitude < 0 ? 1 : 0;
    points.push(points[0] + turns, pole, points[0], pole, points[0], points[1]);
  }
  return { points: Float64Array.from(points), coast, box: boxOf(points) };
}

/** Whether an x is 180°, where the source cuts some islands in two. */
const isOnEdge = (x) => Math.abs(x - Math.round(x)) < 1e-9;

function boxOf(points) {
  const box = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };
  for (let i = 0; i < points.length; i += 2) {
    box.left = Math.min(box.left, points[i]);
    box.right = Math.max(box.right, points[i]);
    box.top = Math.min(box.top, points[i + 1]);
    box.bottom = Math.max(box.bottom, points[i + 1]);
  }
  return box;
}

/** LEB128 variable-length integers, some zigzag-coded. */
class Numbers {
  #bytes;
  #at = 0;

  constructor(bytes) {
    this.#bytes = bytes;
  }

  atEnd() {
    return this.#at === this.#bytes.length;
  }

  next() {
    let [number, shift] = [0, 0];
    for (;;) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw new Error("outline: the file ends within a number");
      number |= (byte & 0x7f) << shift;
      if (byte < 0x80) return number;
      shift += 7;
    }
  }

  signed() {
    const number = this.next();
    return number & 1 ? -((number + 1) >>> 1) : number >>> 1;
  }
}

/** Pixels beyond the view, so that no line along its border is visible. */
const MARGIN = 8;

/** Points closer than this to the previous one, in pixels, are not drawn. */
const STEP_MIN = 0.7;

/** Adds the visible part of the rings to two paths: `land` to fill by the even-odd rule, `coast` to stroke. */
export function tracePaths(rings, view, land, coast) {
  const box = {
    left: -MARGIN,
    top: -MARGIN,
    right: view.width + MARGIN,
    bottom: view.height + MARGIN,
  };
  const [west, east] = [view.xAt(box.left), view.xAt(box.right)];
  const [north, south] = [view.yAt(box.top), view.yAt(box.bottom)];
  for (const ring of rings) {
    if (ring.box.bottom < north || ring.box.top > south) continue;
    for (let copy = Math.ceil(west - ring.box.right); copy <= east - ring.box.left; copy++) {
      traceRing(ring, copy, view, box, land, coast);
    }
  }
}

function traceRing(ring, copy, view, box, land, coast) {
  const { points } = ring;
  const pixels = [];
  let coastEnd = 0;
  for (let i = 0; i < points.length; i += 2) {
    const px = (points[i] + copy - view.x) * view.scale + view.width / 2;
    const py = view.py(points[i + 1]);
    const length = pixels.length;
    const near =
      length > 0 &&
      Math.abs(px - pixels[length - 2]) < STEP_MIN &&
      Math.abs(py - pixels[length - 1]) < STEP_MIN;
    const isLast = i / 2 === ring.coast - 1;
    if (!near || isLast) pixels.push(px, py);
    if (i / 2 < ring.coast) coastEnd = pixels.length;
  }
  if (pixels.length < 6) return;
  const clipped = clipPolygon(pixels, box);
  for (let i = 0; i < clipped.length; i += 2) {
    if (i === 0) land.moveTo(clipped[0], clipped[1]);
    else land.lineTo(clipped[i], clipped[i + 1]);
  }
  if (clipped.length > 0) land.closePath();
  tracePolyline(pixels, coastEnd, box, coast);
}

/** Adds the visible part of an open line, of `end` numbers, to a path. */
export function tracePolyline(pixels, end, box, path) {
  let [lastX, lastY] = [NaN, NaN];
  for (let i = 2; i < end; i += 2) {
    const part = clipSegment(pixels[i - 2], pixels[i - 1], pixels[i], pixels[i + 1], box);
    if (!part) continue;
    if (part[0] !== lastX || part[1] !== lastY) path.moveTo(part[0], part[1]);
    path.lineTo(part[2], part[3]);
    [lastX, lastY] = [part[2], part[3]];
  }
}
