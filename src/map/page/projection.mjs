// The projection of the map: Mercator on the unit square. x is 0 at 180° west and 1 at 180° east, y is 0 at the
// northern edge and 1 at the southern one. The world repeats to the east and to the west.

/** The latitude of the northern edge in degrees, where the map is a square. The poles are infinitely far away. */
export const EDGE_LATITUDE = (Math.atan(Math.sinh(Math.PI)) * 180) / Math.PI;

/** The radius of the earth in km, as the distances of the servers have it. */
export const EARTH_RADIUS_KM = 6371.0088;

/** Pixels of the width of the world at the closest zoom: a pixel is then about a metre. */
const SCALE_MAX = 2 ** 25;

/** Pixels beyond the edges of the map, so that a dot on an edge is visible as a whole. */
const BEYOND = 24;

const RADIANS = Math.PI / 180;

/** Returns the x of a longitude in degrees; beyond 180° it continues. */
export const xOf = (longitude) => longitude / 360 + 0.5;

/** Returns the y of a latitude in degrees. A latitude nearer to a pole than the edge is on the edge. */
export function yOf(latitude) {
  const clamped = Math.max(-EDGE_LATITUDE, Math.min(EDGE_LATITUDE, latitude));
  return 0.5 - Math.asinh(Math.tan(clamped * RADIANS)) / (2 * Math.PI);
}

/** Returns the longitude of an x, from -180 to less than 180. */
export const longitudeOf = (x) => (x - Math.floor(x) - 0.5) * 360;

/** Returns the latitude of a y. */
export const latitudeOf = (y) => Math.atan(Math.sinh((0.5 - y) * 2 * Math.PI)) / RADIANS;

/** Returns the x of the copy that is nearest to another x, at most half a world away. */
export const nearestCopy = (x, other) => x - Math.round(x - other);

/** Returns the great-circle distance of two points in km. */
export function distanceKm(a, b) {
  const dLatitude = Math.sin(((b.latitude - a.latitude) * RADIANS) / 2);
  const dLongitude = Math.sin(((b.longitude - a.longitude) * RADIANS) / 2);
  const cosines = Math.cos(a.latitude * RADIANS) * Math.cos(b.latitude * RADIANS);
  const h = dLatitude * dLatitude + cosines * dLongitude * dLongitude;
  return 2 * EARTH_RADIUS_KM * Math.asin(Math.min(1, Math.sqrt(h)));
}

/** Returns the points of a circle around a point as an array x, y, x, y, …: closed, continuous across 180°. */
export function circle(latitude, longitude, km, steps = 90) {
  const points = [];
  const angle = Math.min(km / EARTH_RADIUS_KM, Math.PI);
  const [sin, cos] = [Math.sin(latitude * RADIANS), Math.cos(latitude * RADIANS)];
  let last = xOf(longitude);
  for (let step = 0; step <= steps; step++) {
    const bearing = (step / steps) * 2 * Math.PI;
    const sinLatitude = sin * Math.cos(angle) + cos * Math.sin(angle) * Math.cos(bearing);
    const dLongitude = Math.atan2(
      Math.sin(bearing) * Math.sin(angle) * cos,
      Math.cos(angle) - sin * sinLatitude,
    );
    last = nearestCopy(xOf(longitude + dLongitude / RADIANS), last);
    points.push(last, yOf(Math.asin(Math.max(-1, Math.min(1, sinLatitude))) / RADIANS));
  }
  return points;
}

/** The part of the world that is visible: its centre, its scale (CSS pixels of the width of the world), its size. */
export class View {
  x = 0.5;
  y = 0.42;
  scale = 0;
  width = 1;
  height = 1;

  /** The least scale: the world fills the view, so that nothing is visible twice. */
  get scaleMin() {
    return Math.max(this.width, this.height);
  }

  resize(width, height) {
    this.width = Math.max(1, width);
    this.height = Math.max(1, height);
    this.moveTo(this.x, this.y, this.scale);
  }

  /** Puts a point into the centre. The view stays on the map, but shows a little beyond its northern and southern edge. */
  moveTo(x, y, scale = this.scale) {
    this.scale = Math.max(this.scaleMin, Math.min(SCALE_MAX, scale));
    const half = (this.height / 2 - BEYOND) / this.scale;
    this.x = x - Math.floor(x);
    this.y = Math.max(half, Math.min(1 - half, y));
  }

  /** Moves the map by pixels, as a hand does. */
  pan(dx, dy) {
    this.moveTo(this.x - dx / this.scale, this.y - dy / this.scale);
  }

  /** Zooms in by a factor. The point of the map at the pixel (px, py) stays there, unless the map ends. */
  zoom(factor, px = this.width / 2, py = this.height / 2) {
    const [x, y] = [this.xAt(px), this.yAt(py)];
    const scale = Math.max(this.scaleMin, Math.min(SCALE_MAX, this.scale * factor));
    this.moveTo(x - (px - this.width / 2) / scale, y - (py - this.height / 2) / scale, scale);
  }

  xAt(px) {
    return this.x + (px - this.width / 2) / this.scale;
  }

  yAt(py) {
    return this.y + (py - this.height / 2) / this.scale;
  }

  /** The pixel column of an x, of the copy that is nearest to the centre. */
  px(x) {
    return (nearestCopy(x, this.x) - this.x) * this.scale + this.width / 2;
  }

  /** The pixel row of a y. */
  py(y) {
    return (y - this.y) * this.scale + this.height / 2;
  }

  /** Shows all points, given as [x, y], but no closer than a scale. */
  fit(points, scaleMax) {
    const bounds = boundsOf(points);
    if (!bounds) return;
    const scale = Math.min(
      (this.width * FIT_SHARE) / Math.max(bounds.width, 1e-9),
      (this.height * FIT_SHARE) / Math.max(bounds.height, 1e-9),
      scaleMax,
    );
    // Points all over the world have no middle: then the map is as in an atlas.
    const x = bounds.width > WORLD_SHARE ? 0.5 : bounds.x + bounds.width / 2;
    this.moveTo(x, bounds.y + bounds.height / 2, scale);
  }
}

/** The share of the view that the points of `fit` fill, so that none is at its border or under a button. */
const FIT_SHARE = 0.7;

/** The share of the width of the world above which the points are all over it. */
const WORLD_SHARE = 0.6;

/** Returns the smallest box around the points, which may lie across 180°; null without points. */
export function boundsOf(points) {
  if (points.length === 0) return null;
  const columns = points.map(([x]) => x - Math.floor(x)).sort((a, b) => a - b);
  const rows = points.map(([, y]) => y);
  // The box is the world without the widest gap between two neighbouring columns.
  let [west, gap] = [columns[0], columns[0] + 1 - columns.at(-1)];
  for (let i = 1; i < columns.length; i++) {
    if (columns[i] - columns[i - 1] > gap) [west, gap] = [columns[i], columns[i] - columns[i - 1]];
  }
  const [north, south] = [rows.reduce((a, b) => Math.min(a, b)), rows.reduce((a, b) => Math.max(a, b))];
  return { x: west, y: north, width: 1 - gap, height: south - north };
}
