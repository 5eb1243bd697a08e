// Small helpers for the document. Texts are always text nodes: nothing that a client sends is ever HTML.

import { visible } from "./text.mjs";

/** Returns the element with an id of index.html. */
export const byId = (id) => document.getElementById(id);

/** Makes an element with properties and children. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Makes an element for an ID or another text of a client: visible characters, apart from the direction around it. */
export const isolated = (id) => make("bdi", { textContent: visible(id), title: visible(id) });

/** Sets the text of an element, if it is another one. An equal text would be laid out, and read aloud, again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
