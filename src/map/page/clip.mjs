// Clipping to a rectangle. A canvas draws numbers far outside of it slowly and inexactly, and at a close zoom a coast
// line has millions of pixels.

/** A rectangle: { left, top, right, bottom }. */

/** Returns the part of a closed polygon inside the rectangle: x, y, x, y, … in, the same out (Sutherland, Hodgman). */
export function clipPolygon(points, box) {
  let output = points;
  for (const [axis, limit, sign] of sides(box)) {
    const input = output;
    output = [];
    const length = input.length;
    for (let i = 0; i < length; i += 2) {
      const j = i === 0 ? length - 2 : i - 2;
      const inside = sign * (input[i + axis] - limit) <= 0;
      const before = sign * (input[j + axis] - limit) <= 0;
      if (inside !== before) crossing(input, j, i, axis, limit, output);
      if (inside) output.push(input[i], input[i + 1]);
    }
    if (output.length === 0) return output;
  }
  return output;
}

/** Returns the part of the segment from (x0, y0) to (x1, y1) inside the rectangle, or null (Liang, Barsky). */
export function clipSegment(x0, y0, x1, y1, box) {
  let [from, to] = [0, 1];
  const [dx, dy] = [x1 - x0, y1 - y0];
  for (const [step, room] of [
    [-dx, x0 - box.left],
    [dx, box.right - x0],
    [-dy, y0 - box.top],
    [dy, box.bottom - y0],
  ]) {
    if (step === 0) {
      if (room < 0) return null;
    } else if (step < 0) from = Math.max(from, room / step);
    else to = Math.min(to, room / step);
  }
  return from > to ? null : [x0 + from * dx, y0 + from * dy, x0 + to * dx, y0 + to * dy];
}

const sides = (box) => [
  [0, box.left, -1],
  [0, box.right, 1],
  [1, box.top, -1],
  [1, box.bottom, 1],
];

function crossing(points, j, i, axis, limit, output) {
  const share = (limit - points[j + axis]) / (points[i + axis] - points[j + axis]);
  const other = points[j + 1 - axis] + share * (points[i + 1 - axis] - points[j + 1 - axis]);
  output.push(axis === 0 ? limit : other, axis === 0 ? other : limit);
}
