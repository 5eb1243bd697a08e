// The three canvases of the map: coast and names, which change with the view; trails; dots, which move.

import { ageClass, positionAt, TRAIL_MS } from "./clients.mjs";
import { Dots, SERVER_COLOURS, SPRITE } from "./dots.mjs";
import { placeLabels } from "./labels.mjs";
import { tracePaths, tracePolyline } from "./outline.mjs";
import { circle, latitudeOf, nearestCopy, xOf, yOf } from "./projection.mjs";
import { shortened, visible } from "./text.mjs";

/** Segments of trails in one picture: more take too long, so that each client then has a shorter trail. */
const TRAIL_SEGMENTS_MAX = 12_000;

/** Clients in the view up to which their names are drawn. */
const NAMES_MAX = 60;

/** Dots in the view up to which each is drawn exactly where it is, not at a whole pixel. */
const EXACT_MAX = 400;

/** The width of the buttons at the right of the map, in pixels. */
const CONTROLS = 60;

/** The scale from which the finer coast is drawn: its points are then a few pixels apart. */
export const FINE_SCALE = 2400;

export class Painter {
  coarse = [];
  fine = null;
  places = [];
  #canvases;
  #contexts;
  #view;
  #ratio = 1;
  #colours = {};
  #dots = null;
  #shown = [];
  #widths = new Map();

  constructor(canvases, view) {
    this.#canvases = canvases;
    this.#contexts = canvases.map((canvas) => canvas.getContext("2d"));
    this.#view = view;
    this.readColours();
  }

  /** Takes the size of the map in the page. */
  resize(width, height) {
    this.#ratio = Math.min(2, devicePixelRatio || 1);
    for (const canvas of this.#canvases) {
      canvas.width = Math.round(width * this.#ratio);
      canvas.height = Math.round(height * this.#ratio);
    }
    this.#view.resize(width, height);
    this.#dots = null;
  }

  /** Reads the colours of style.css again, after a change from light to dark. */
  readColours() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    for (const name of ["sea", "land", "coast", "grid", "label", "text", "halo", "accent", "place"]) {
      this.#colours[name] = colour(name);
    }
    this.#colours.servers = Array.from({ length: SERVER_COLOURS }, (_, i) => colour(`server-${i}`));
    this.#colours.font = style.getPropertyValue("--font");
    this.#dots = null;
  }

  #begin(layer) {
    const context = this.#contexts[layer];
    context.setTransform(this.#ratio, 0, 0, this.#ratio, 0, 0);
    context.clearRect(0, 0, this.#view.width, this.#view.height);
    return context;
  }

  /** Paints coast, grid and names. */
  paintBase() {
    const context = this.#begin(0);
    const view = this.#view;
    const colours = this.#colours;
    context.fillStyle = colours.sea;
    context.fillRect(0, 0, view.width, view.height);
    const [land, coast] = [new Path2D(), new Path2D()];
    const rings = view.scale >= FINE_SCALE && this.fine ? this.fine : this.coarse;
    tracePaths(rings, view, land, coast);
    context.fillStyle = colours.land;
    context.fill(land, "evenodd");
    // Beyond the southern edge Antarctica goes on.
    context.fillRect(0, view.py(1), view.width, view.height);
    this.#paintGrid(context);
    context.strokeStyle = colours.coast;
    context.lineWidth = 1;
    context.lineJoin = "round";
    context.stroke(coast);
    this.#paintLabels(context);
    this.#paintScale(context);
  }

  #paintGrid(context) {
    const view = this.#view;
    const degreesWide = (view.width / view.scale) * 360;
    const step = GRID_DEGREES.find((degrees) => degrees <= degreesWide / 3) ?? GRID_DEGREES.at(-1);
    context.beginPath();
    const west = (view.xAt(0) - 0.5) * 360;
    for (let i = Math.ceil(west / step); i * step <= west + degreesWide; i++) {
      const px = Math.round((xOf(i * step) - view.x) * view.scale + view.width / 2) + 0.5;
      context.moveTo(px, 0);
      context.lineTo(px, view.height);
    }
    const [north, south] = [latitudeOf(view.yAt(0)), latitudeOf(view.yAt(view.height))];
    for (let i = Math.ceil(south / step); i * step <= north; i++) {
      const py = Math.round(view.py(yOf(i * step))) + 0.5;
      context.moveTo(0, py);
      context.lineTo(view.width, py);
    }
    context.strokeStyle = this.#colours.grid;
    context.lineWidth = 1;
    context.stroke();
  }

  #paintLabels(context) {
    context.font = `12px ${this.#colours.font}`;
    context.textBaseline = "middle";
    const widthOf = (name) => {
      if (!this.#widths.has(name)) this.#widths.set(name, context.measureText(name).width);
      return this.#widths.get(name);
    };
    for (const { place, px, py } of placeLabels(this.places, this.#view, widthOf)) {
      context.fillStyle = this.#colours.label;
      context.beginPath();
      context.arc(px, py, 1.6, 0, 2 * Math.PI);
      context.fill();
      this.#outlined(context, place.name, px + 5, py, this.#colours.label, this.#colours.land);
    }
  }

  #paintScale(context) {
    const view = this.#view;
    const kmPerPixel = (40030.2 * Math.cos((latitudeOf(view.y) * Math.PI) / 180)) / view.scale;
    const km = SCALE_KM.find((length) => length / kmPerPixel <= 110) ?? SCALE_KM.at(-1);
    const [width, x, y] = [km / kmPerPixel, 12, view.height - 14];
    context.strokeStyle = context.fillStyle = this.#colours.label;
    context.lineWidth = 1.5;
    context.beginPath();
    context.moveTo(x, y - 5);
    context.lineTo(x, y);
    context.lineTo(x + width, y);
    context.lineTo(x + width, y - 5);
    context.stroke();
    const text = km < 1 ? `${km * 1000} m` : `${km.toLocaleString("en")} km`;
    this.#outlined(context, text, x + 2, y - 12, this.#colours.label, this.#colours.sea);
  }

  #outlined(context, text, x, y, colour, halo) {
    context.lineJoin = "round";
    context.strokeStyle = halo;
    context.lineWidth = 3;
    context.strokeText(text, x, y);
    context.fillStyle = colour;
    context.fillText(text, x, y);
  }

  /** Paints the trails of the clients in the view. */
  paintTrails(clients, scene) {
    const context = this.#begin(1);
    const view = this.#view;
    const shown = [];
    let segments = 0;
    for (const client of clients) {
      if (client.trail.length < 6 || (scene.words.length > 0 && !scene.isMatch(client))) continue;
      shown.push(client);
      segments += client.trail.length / 3 - 1;
    }
    const perClient = segments <= TRAIL_SEGMENTS_MAX ? Infinity : Math.floor(TRAIL_SEGMENTS_MAX / shown.length);
    if (perClient < 1) return;
    const box = { left: -4, top: -4, right: view.width + 4, bottom: view.height + 4 };
    // One path for each colour: thousands of paths would take many times as long.
    const paths = this.#colours.servers.map(() => new Path2D());
    for (const client of shown) {
      const pixels = trailPixels(client, view, scene.now, perClient);
      tracePolyline(pixels, pixels.length, box, paths[client.serverIndex % SERVER_COLOURS]);
    }
    context.lineJoin = context.lineCap = "round";
    paths.forEach((path, i) => {
      context.strokeStyle = this.#colours.servers[i];
      context.globalAlpha = 0.45;
      context.lineWidth = 1.5;
      context.stroke(path);
    });
    if (scene.selected) {
      const path = new Path2D();
      const pixels = trailPixels(scene.selected, view, scene.now, Infinity);
      tracePolyline(pixels, pixels.length, box, path);
      context.globalAlpha = 1;
      context.lineWidth = 2.5;
      context.strokeStyle = this.#colours.servers[scene.selected.serverIndex % SERVER_COLOURS];
      context.stroke(path);
    }
    context.globalAlpha = 1;
  }

  /** Paints the dots, and what belongs to the selected one. */
  paintDots(clients, scene) {
    const context = this.#begin(2);
    this.#dots ??= new Dots(this.#colours.servers, this.#colours.halo, this.#ratio);
    const count = this.#findShown(clients, scene);
    const shown = this.#shown;
    if (count <= EXACT_MAX) {
      for (let i = 0; i < count; i++) this.#dots.draw(context, shown[i].index, shown[i].px, shown[i].py);
    } else {
      this.#dots.begin(context.canvas.width, context.canvas.height);
      for (let i = 0; i < count; i++) this.#dots.put(shown[i].index, shown[i].px, shown[i].py);
      this.#dots.end(context);
    }
    if (scene.selected) this.#paintArea(context, scene);
    if (count <= NAMES_MAX) this.#paintNames(context, shown.slice(0, count), scene);
    if (scene.selected) this.#paintSelected(context, scene);
    return count;
  }

  /** Finds the dots in the view. The list is used again for each picture: thousands of new objects would be garbage. */
  #findShown(clients, scene) {
    const view = this.#view;
    const shown = this.#shown;
    const hasSearch = scene.words.length > 0;
    let count = 0;
    for (const client of clients) {
      const [x, y] = positionAt(client, scene.now);
      const [px, py] = [view.px(x), view.py(y)];
      if (px < -SPRITE || py < -SPRITE || px > view.width + SPRITE || py > view.height + SPRITE) continue;
      if (count === shown.length) shown.push({});
      const dot = shown[count++];
      [dot.client, dot.px, dot.py] = [client, px, py];
      dot.isDim = hasSearch && client !== scene.selected && !scene.isMatch(client);
      dot.index = this.#dots.index(ageClass(scene.serverNow - client.receivedMs), client.serverIndex, dot.isDim);
    }
    return count;
  }

  #paintArea(context, scene) {
    const view = this.#view;
    const box = { left: -4, top: -4, right: view.width + 4, bottom: view.height + 4 };
    const points = circle(scene.selected.latitude, scene.selected.longitude, scene.nearKm);
    const first = nearestCopy(points[0], view.x);
    const pixels = [];
    for (let i = 0; i < points.length; i += 2) {
      pixels.push((points[i] - points[0] + first - view.x) * view.scale + view.width / 2, view.py(points[i + 1]));
    }
    const path = new Path2D();
    tracePolyline(pixels, pixels.length, box, path);
    context.strokeStyle = this.#colours.accent;
    context.lineWidth = 1.5;
    context.setLineDash([6, 5]);
    context.stroke(path);
    context.setLineDash([]);
    context.font = `12px ${this.#colours.font}`;
    context.textBaseline = "middle";
    for (const place of scene.places) {
      const [px, py] = [view.px(place.x), view.py(place.y)];
      context.fillStyle = this.#colours.place;
      context.fillRect(px - 3.5, py - 3.5, 7, 7);
      this.#outlined(context, shortened(visible(place.name), 40), px + 8, py, this.#colours.place, this.#colours.halo);
    }
  }

  #paintNames(context, shown, scene) {
    context.font = `600 12px ${this.#colours.font}`;
    context.textBaseline = "middle";
    context.direction = "ltr";
    const boxes = [];
    for (const { client, px, py, isDim } of shown) {
      if (isDim || client === scene.selected) continue;
      const text = nameOf(client, 28);
      const [left, right] = this.#besides(px, context.measureText(text).width, 10);
      if (boxes.some((box) => left < box.right && right > box.left && Math.abs(py - box.py) < 15)) continue;
      boxes.push({ left, right, py });
      this.#outlined(context, text, left, py, this.#colours.text, this.#colours.halo);
    }
  }

  #paintSelected(context, scene) {
    const [x, y] = positionAt(scene.selected, scene.now);
    const [px, py] = [this.#view.px(x), this.#view.py(y)];
    context.lineWidth = 5;
    context.strokeStyle = this.#colours.halo;
    context.beginPath();
    context.arc(px, py, 13, 0, 2 * Math.PI);
    context.stroke();
    context.lineWidth = 2.5;
    context.strokeStyle = this.#colours.accent;
    context.stroke();
    context.font = `700 13px ${this.#colours.font}`;
    context.textBaseline = "middle";
    context.direction = "ltr";
    const name = nameOf(scene.selected, 40);
    const [left] = this.#besides(px, context.measureText(name).width, 19);
    this.#outlined(context, name, left, py, this.#colours.text, this.#colours.halo);
  }

  /** Where a text of some width begins and ends: to the right of a point, or where there is no room to the left. */
  #besides(px, width, distance) {
    const left = px + distance + width + CONTROLS <= this.#view.width ? px + distance : px - distance - width;
    return [left, left + width];
  }
}

/** The name of a client between U+2068 and U+2069, which keep its direction apart. */
const nameOf = (client, length) => `\u2068${shortened(visible(client.id), length)}\u2069`;

/** Returns the last segments of a trail as pixels, up to where the dot is now. */
function trailPixels(client, view, now, segmentsMax) {
  const { trail } = client;
  const points = trail.length / 3;
  const pixels = [];
  const [dotX, dotY] = positionAt(client, now);
  const nearest = nearestCopy(dotX, view.x) - dotX;
  for (let i = Math.max(0, points - 1 - segmentsMax); i < points - 1; i++) {
    if (trail[i * 3 + 2] < now - TRAIL_MS) continue;
    pixels.push((trail[i * 3] + nearest - view.x) * view.scale + view.width / 2, view.py(trail[i * 3 + 1]));
  }
  pixels.push((dotX + nearest - view.x) * view.scale + view.width / 2, view.py(dotY));
  return pixels;
}

/** Steps of the grid in degrees, and lengths of the scale bar in km. */
const GRID_DEGREES = [30, 15, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001];
const SCALE_KM = [5000, 2000, 1000, 500, 200, 100, 50, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02];
