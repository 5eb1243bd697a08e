// Names of large places: the reader of places.json, and which of them fit into the view.

import { xOf, yOf } from "./projection.mjs";

/** Reads places.json. Returns the places, the largest first: { name, x, y }. */
export function readPlaces(json) {
  const names = json.names.split("\n");
  const degrees = (column, i) => column[i] / json.units_per_degree;
  return names.map((name, i) => ({
    name,
    x: xOf(degrees(json.longitudes, i)),
    y: yOf(degrees(json.latitudes, i)),
  }));
}

/** Of the largest places, how many may appear when the whole world is visible; four times as many at each doubling. */
const RANK_AT_WORLD = 24;

/** The labels of one view at most. */
const LABELS_MAX = 60;

/** The height of a line of text, and the room around it, in pixels. */
const LINE = 15;
const ROOM = 6;

/**
 * Returns the places whose names fit: [{ place, px, py, width }], the name to the right of the point. A name overlaps
 * none of a larger place. `widthOf` measures a text.
 */
export function placeLabels(places, view, widthOf) {
  const zoom = view.scale / view.scaleMin;
  const ranks = Math.min(places.length, RANK_AT_WORLD * zoom * zoom);
  const found = [];
  for (let i = 0; i < ranks && found.length < LABELS_MAX; i++) {
    const place = places[i];
    const [px, py] = [view.px(place.x), view.py(place.y)];
    if (px < 0 || py < LINE || px > view.width || py > view.height - LINE) continue;
    const width = widthOf(place.name);
    if (px + width + ROOM > view.width) continue;
    const isFree = found.every(
      (other) =>
        px > other.px + other.width + 2 * ROOM ||
        px + width + 2 * ROOM < other.px ||
        Math.abs(py - other.py) > LINE,
    );
    if (isFree) found.push({ place, px, py, width });
  }
  return found;
}
