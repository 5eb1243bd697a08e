// Moving the map by mouse, pen, fingers, wheel and keyboard, and pointing at clients.

/** Pixels that a pointer may move and still be a click. */
const CLICK_PIXELS = 5;

/** Pixels of one arrow key, and the factor of one step of the zoom. */
const KEY_PIXELS = 80;
export const ZOOM_STEP = 1.6;

/**
 * Calls the handler: `pan(dx, dy)`, `zoom(factor, px, py)`, `click(px, py, type)`, `hover(px, py, type)`, `leave()`,
 * `showAll()`. Pixels are those of the element.
 */
export function listen(element, handler) {
  const pointers = new Map();
  let travelled = 0;

  const at = (event) => {
    const box = element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const spread = () => {
    const [a, b] = [...pointers.values()];
    return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, size: Math.hypot(a.x - b.x, a.y - b.y) };
  };

  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.target.closest("button, a, select")) return;
    element.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
    travelled = pointers.size === 1 ? 0 : Infinity;
  });
  element.addEventListener("pointermove", (event) => {
    const to = at(event);
    const from = pointers.get(event.pointerId);
    if (!from) {
      handler.hover(to.x, to.y, event.pointerType);
      return;
    }
    const before = pointers.size === 2 ? spread() : null;
    pointers.set(event.pointerId, to);
    if (before) {
      const after = spread();
      handler.pan(after.x - before.x, after.y - before.y);
      if (before.size > 0 && after.size > 0) handler.zoom(after.size / before.size, after.x, after.y);
      return;
    }
    travelled += Math.hypot(to.x - from.x, to.y - from.y);
    if (travelled > CLICK_PIXELS) handler.pan(to.x - from.x, to.y - from.y);
  });
  const end = (event) => {
    const to = pointers.get(event.pointerId);
    if (!pointers.delete(event.pointerId) || event.type === "pointercancel") return;
    if (pointers.size === 0 && travelled <= CLICK_PIXELS) handler.click(to.x, to.y, event.pointerType);
  };
  element.addEventListener("pointerup", end);
  element.addEventListener("pointercancel", end);
  element.addEventListener("pointerleave", () => handler.leave());
  element.addEventListener("dblclick", (event) => {
    if (event.target.closest("button")) return;
    const { x, y } = at(event);
    handler.zoom(ZOOM_STEP * ZOOM_STEP, x, y);
  });
  element.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      // Lines and pages in pixels; a pinch on a touch pad arrives as a wheel with Ctrl.
      const pixels = event.deltaY * (event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1);
      const { x, y } = at(event);
      handler.zoom(Math.exp(-Math.max(-400, Math.min(400, pixels)) * (event.ctrlKey ? 0.01 : 0.002)), x, y);
    },
    { passive: false },
  );
  element.addEventListener("keydown", (event) => {
    if (event.target !== element || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = KEYS[event.key];
    if (!step) return;
    event.preventDefault();
    step(handler);
  });
}

const KEYS = {
  ArrowLeft: (handler) => handler.pan(KEY_PIXELS, 0),
  ArrowRight: (handler) => handler.pan(-KEY_PIXELS, 0),
  ArrowUp: (handler) => handler.pan(0, KEY_PIXELS),
  ArrowDown: (handler) => handler.pan(0, -KEY_PIXELS),
  "+": (handler) => handler.zoom(ZOOM_STEP),
  "=": (handler) => handler.zoom(ZOOM_STEP),
  "-": (handler) => handler.zoom(1 / ZOOM_STEP),
  0: (handler) => handler.showAll(),
};
