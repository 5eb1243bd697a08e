// Hit testing: which client is under the pointer.

/** Pixels around a point that count as the point: a mouse, and a finger (half of 44 pixels). */
export const REACH = { mouse: 10, pen: 14, touch: 22 };

/**
 * Returns the item that is nearest to the pixel (px, py), at most `reach` pixels away, or null. Of equally near ones it
 * is the last, which is drawn on top. `position` gives the [x, y] of an item on the map.
 */
export function nearestItem(items, view, px, py, reach, position) {
  let [best, bestDistance] = [null, reach * reach];
  for (const item of items) {
    const [x, y] = position(item);
    const [dx, dy] = [view.px(x) - px, view.py(y) - py];
    const distance = dx * dx + dy * dy;
    if (distance <= bestDistance) [best, bestDistance] = [item, distance];
  }
  return best;
}
