// The selected client: its statement, the clients and the places near it.

import { ageClass, AGES } from "./clients.mjs";
import { byId, isolated, make, setText } from "./dom.mjs";
import { xOf, yOf } from "./projection.mjs";
import { askJson } from "./session.mjs";
import { age, coordinates, distance, duration, plain, visible } from "./text.mjs";

/** Clients and places near the selected one at most. */
const NEAR_MAX = 20;
const PLACES_MAX = 10;

/** The radius for places in km: 50 is the most that WHATSAT takes. */
const PLACES_KM_MAX = 50;

export class Details {
  selected = null;
  /** The places near the selected client: { name, x, y }. */
  places = [];
  #clients;
  #handler;
  #near = new Map();
  #facts = new Map();
  #request = null;

  /** The handler has `select(client)` and `changed()`. */
  constructor(clients, handler) {
    [this.#clients, this.#handler] = [clients, handler];
    byId("near-km").addEventListener("change", () => this.refresh());
    byId("ask-places").addEventListener("click", () => this.#askPlaces());
    for (const name of FACTS) {
      const value = make("dd");
      this.#facts.set(name, value);
      byId("facts").append(make("dt", { textContent: name }), value);
    }
    this.#facts.get("Statement").append(make("code"));
  }

  get nearKm() {
    return Number(byId("near-km").value);
  }

  /** Shows a client; null shows none. */
  select(client) {
    this.selected = client;
    this.places = [];
    this.#near.clear();
    this.#request?.abort();
    byId("details").hidden = client === null;
    byId("places").hidden = true;
    byId("near-list").replaceChildren();
    if (!client) return;
    byId("details-name").replaceChildren(isolated(client.id));
    byId("details").classList.remove("gone");
    this.refresh();
  }

  /** Brings the facts up to date. */
  update(serverNow) {
    const client = this.selected;
    if (!client) return;
    const fact = (name, text) => setText(this.#facts.get(name), text);
    const ms = serverNow - client.receivedMs;
    fact("Last report", client.gone ? "forgotten, or over" : `${age(ms)} (${AGES[ageClass(ms)].name})`);
    byId("details").classList.toggle("gone", Boolean(client.gone));
    fact("Position", coordinates(client.latitude, client.longitude));
    fact("Received by", visible(client.server));
    fact("Its clock", clockText(client.skewMs));
    setText(this.#facts.get("Statement").firstChild, visible(client.line));
    for (const [other, words] of this.#near) setText(words, this.#nearText(other, serverNow));
  }

  #nearText(other, serverNow) {
    const known = this.#clients.get(other.path ?? other.id);
    return `${distance(other.km)}${known ? `, ${age(serverNow - known.receivedMs)}` : ""}`;
  }

  /** Asks the server again for the clients near the selected one. */
  async refresh() {
    const client = this.selected;
    if (!client || client.gone) return;
    this.#request?.abort();
    const request = (this.#request = new AbortController());
    const query = `id=${pathOf(client)}&km=${this.nearKm}&limit=${NEAR_MAX}`;
    try {
      const answer = await askJson(`v1/near?${query}`, { signal: request.signal });
      if (request === this.#request) this.#showNear(answer.clients);
    } catch (error) {
      if (error.name === "AbortError" || request !== this.#request) return;
      this.#near.clear();
      byId("near-list").replaceChildren(make("li", { className: "hint", textContent: error.message }));
    }
  }

  #showNear(clients) {
    const isSame =
      clients.length === this.#near.size &&
      [...this.#near.keys()].every((other, i) => other.id === clients[i].id && other.path === clients[i].path);
    if (isSame && clients.length > 0) {
      this.#near = new Map([...this.#near.values()].map((words, i) => [clients[i], words]));
      return;
    }
    this.#near.clear();
    const items = clients.map((other) => {
      const button = make("button", { type: "button" }, isolated(other.id));
      button.addEventListener("click", (event) => {
        const known = this.#clients.get(other.path ?? other.id);
        if (known) this.#handler.select(known, event.detail === 0);
      });
      const words = make("span", { className: "hint" });
      this.#near.set(other, words);
      return make("li", {}, button, words);
    });
    if (items.length === 0) items.push(make("li", { className: "hint", textContent: "None." }));
    if (items.length === NEAR_MAX) items.push(make("li", { className: "hint", textContent: `The nearest ${NEAR_MAX}.` }));
    byId("near-list").replaceChildren(...items);
  }

  async #askPlaces() {
    const client = this.selected;
    const km = Math.min(PLACES_KM_MAX, this.nearKm);
    byId("places").hidden = false;
    byId("places-list").replaceChildren(make("li", { className: "hint", textContent: "Asking …" }));
    setText(byId("places-note"), "");
    let results = [];
    let note = "";
    try {
      const answer = await askJson(`v1/clients/${pathOf(client)}/places?km=${km}&limit=${PLACES_MAX}`);
      results = answer.results ?? [];
      const failure = answer.error_message ?? (answer.status === "OK" || answer.status === "ZERO_RESULTS" ? "" : answer.status);
      const sources = (answer.html_attributions ?? []).map(plain);
      note = [failure, results.length > 0 ? "" : `None within ${km} km.`, ...sources].filter(Boolean).join(" ");
    } catch (error) {
      note = error.message;
    }
    if (client !== this.selected) return;
    this.places = results.map(placeOf).filter(Boolean);
    byId("places-list").replaceChildren(
      ...results.map((place) =>
        make("li", {}, make("bdi", { textContent: visible(place.name ?? "") }),
          make("span", { className: "hint", textContent: visible(place.vicinity ?? "") })),
      ),
    );
    setText(byId("places-note"), note);
    this.#handler.changed();
  }
}

/** The facts of a client, in order. */
const FACTS = ["Last report", "Position", "Received by", "Its clock", "Statement"];

/** Returns the ID of a client as a part of a path or of a query. */
export const pathOf = (client) => client.path ?? encodeURIComponent(client.id);

function placeOf(place) {
  const { lat, lng } = place.geometry?.location ?? {};
  if (typeof lat !== "number" || typeof lng !== "number") return null;
  return { name: place.name ?? "", x: xOf(lng), y: yOf(lat) };
}

/** The skew is the time of receipt minus the time that the client stated. */
function clockText(skewMs) {
  if (Math.abs(skewMs) < 2000) return "as the server's";
  return `stated ${duration(skewMs)} ${skewMs > 0 ? "before" : "after"} the server received it`;
}
