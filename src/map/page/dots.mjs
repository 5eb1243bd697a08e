// The pictures of dots: a shape for each age, a colour for each server, and how thousands of them get onto a canvas.

import { AGES } from "./clients.mjs";

/** The colours of servers in style.css; a ninth server has the colour of the first, and its name in the texts. */
export const SERVER_COLOURS = 8;

/** The edge of a picture, in CSS pixels. */
export const SPRITE = 24;

/** The opacity of dots that a search does not match. */
const DIM = 0.18;

/** Draws a dot: fresh has a ring around it, recent is full, old is hollow, stale is a small hollow diamond. */
function drawDot(context, age, x, y, colour, halo) {
  context.beginPath();
  if (age === 3) {
    context.moveTo(x, y - 5);
    context.lineTo(x + 5, y);
    context.lineTo(x, y + 5);
    context.lineTo(x - 5, y);
    context.closePath();
  } else context.arc(x, y, 5, 0, 2 * Math.PI);
  context.fillStyle = age < 2 ? colour : halo;
  context.strokeStyle = halo;
  context.lineWidth = age < 2 ? 2.5 : 4.5;
  context.stroke();
  context.fill();
  context.strokeStyle = colour;
  if (age >= 2) {
    context.lineWidth = 2;
    context.stroke();
  }
  if (age === 0) {
    context.beginPath();
    context.arc(x, y, 9, 0, 2 * Math.PI);
    context.lineWidth = 1.5;
    context.stroke();
  }
}

/** All pictures of dots, for one set of colours and one ratio of device pixels to CSS pixels. */
export class Dots {
  #picture;
  #sprites = [];
  #ratio;
  #edge;
  #frame = null;
  #pixels = null;

  constructor(colours, halo, ratio) {
    this.#ratio = ratio;
    this.#edge = Math.ceil(SPRITE * ratio);
    const rows = SERVER_COLOURS * 2;
    const canvas = new OffscreenCanvas(AGES.length * this.#edge, rows * this.#edge);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    for (let row = 0; row < rows; row++) {
      context.globalAlpha = row < SERVER_COLOURS ? 1 : DIM;
      for (let age = 0; age < AGES.length; age++) {
        context.setTransform(ratio, 0, 0, ratio, (age + 0.5) * this.#edge, (row + 0.5) * this.#edge);
        drawDot(context, age, 0, 0, colours[row % SERVER_COLOURS], halo);
        const [x, y] = [age * this.#edge, row * this.#edge];
        this.#sprites.push(visiblePixels(context.getImageData(x, y, this.#edge, this.#edge)));
      }
    }
    this.#picture = canvas.transferToImageBitmap();
  }

  /** The number of a picture, for `draw` and `put`. */
  index(age, server, isDim) {
    return ((server % SERVER_COLOURS) + (isDim ? SERVER_COLOURS : 0)) * AGES.length + age;
  }

  /** Draws a picture with its middle at a point, exactly: for some hundreds of dots. */
  draw(context, index, px, py) {
    const [x, y] = [(index % AGES.length) * this.#edge, Math.floor(index / AGES.length) * this.#edge];
    const size = this.#edge / this.#ratio;
    context.drawImage(this.#picture, x, y, this.#edge, this.#edge, px - size / 2, py - size / 2, size, size);
  }

  /** Begins a frame of `put`: for thousands of dots, at whole pixels, ten times as fast as `draw` without a GPU. */
  begin(width, height) {
    if (this.#frame?.width !== width || this.#frame?.height !== height) {
      this.#frame = new ImageData(width, height);
      this.#pixels = new Uint32Array(this.#frame.data.buffer);
      for (const sprite of this.#sprites) {
        sprite.offsets = Int32Array.from(sprite.rows, (row, i) => row * width + sprite.columns[i]);
      }
    }
    this.#pixels.fill(0);
  }

  put(index, px, py) {
    const { columns, rows, values, offsets } = this.#sprites[index];
    const { width, height } = this.#frame;
    const pixels = this.#pixels;
    const left = Math.round(px * this.#ratio - this.#edge / 2);
    const top = Math.round(py * this.#ratio - this.#edge / 2);
    const isInside = left >= 0 && top >= 0 && left + this.#edge <= width && top + this.#edge <= height;
    const first = top * width + left;
    for (let i = 0; i < values.length; i++) {
      if (!isInside) {
        const x = left + columns[i];
        const y = top + rows[i];
        if (x < 0 || y < 0 || x >= width || y >= height) continue;
      }
      const at = first + offsets[i];
      const value = values[i];
      // A soft edge does not replace another dot.
      if (value >>> 24 > SOFT || pixels[at] === 0) pixels[at] = value;
    }
  }

  /** Ends the frame: replaces what the canvas shows. */
  end(context) {
    context.putImageData(this.#frame, 0, 0);
  }
}

/** Up to this alpha, of 255, a pixel is a soft edge. */
const SOFT = 160;

/** Returns the pixels of a picture that are not empty. */
function visiblePixels({ data, width }) {
  const pixels = new Uint32Array(data.buffer);
  const found = [...pixels.keys()].filter((at) => pixels[at] >>> 24 > 0);
  return {
    columns: Uint8Array.from(found, (at) => at % width),
    rows: Uint8Array.from(found, (at) => Math.floor(at / width)),
    values: Uint32Array.from(found, (at) => pixels[at]),
    offsets: null,
  };
}
