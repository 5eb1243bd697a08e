// The clients that this page knows: what each stated last, where its dot is while it glides, and its trail.

import { nearestCopy, xOf, yOf } from "./projection.mjs";

/** The shapes of a dot, by the age of the last report in ms: younger than the limit. */
export const AGES = [
  { name: "fresh", limit: 30_000, words: "< 30 s" },
  { name: "recent", limit: 300_000, words: "< 5 min" },
  { name: "old", limit: 3_600_000, words: "< 1 h" },
  { name: "stale", limit: Infinity, words: "older" },
];

/** Returns the index in AGES of an age in ms. */
export const ageClass = (ms) => (ms < AGES[0].limit ? 0 : ms < AGES[1].limit ? 1 : ms < AGES[2].limit ? 2 : 3);

/** The time in ms that a dot takes to its new place. */
const GLIDE_MS = 900;

/** A longer way, in widths of the view, is a jump: gliding would only cross the map. */
const GLIDE_VIEWS_MAX = 2;

/** The age in ms at which a point of a trail ends, and the number of points of one client: thousands have trails. */
export const TRAIL_MS = 600_000;
const TRAIL_POINTS_MAX = 48;

/** All known clients by key. The key is the path of an ID that is not UTF-8, else the ID. */
export class Clients {
  byKey = new Map();
  /** Grows with each client that comes or goes. */
  membership = 0;
  /** The moment until which a dot glides. */
  glidingUntil = 0;
  /** The servers in the order in which they first appeared. */
  servers = [];
  #generation = 0;

  get size() {
    return this.byKey.size;
  }

  values() {
    return this.byKey.values();
  }

  get(key) {
    return this.byKey.get(key);
  }

  /** Takes the newest statement of a client. `now` is of the page's clock, in ms; `glide` of its dot, or null to jump. */
  at(statement, now, glide) {
    const key = statement.path ?? statement.id;
    let client = this.byKey.get(key);
    const x = xOf(statement.longitude);
    const y = yOf(statement.latitude);
    if (!client) {
      client = { key, id: statement.id, path: statement.path, x, y, fromX: x, fromY: y, movedAt: 0, trail: [] };
      this.byKey.set(key, client);
      this.membership++;
    } else if (client.latitude !== statement.latitude || client.longitude !== statement.longitude) {
      this.#move(client, nearestCopy(x, client.x), y, now, glide);
    }
    client.latitude = statement.latitude;
    client.longitude = statement.longitude;
    client.skewMs = Number(statement.skew) * 1000;
    client.receivedMs = Number(statement.time) * 1000 + client.skewMs;
    client.server = statement.server;
    client.serverIndex = this.#serverIndex(statement.server);
    client.line = statement.line;
    client.generation = this.#generation;
    extendTrail(client.trail, client.x, y, now);
    return client;
  }

  /** Forgets a client. Returns it, or undefined if it was unknown. */
  left(statement) {
    const key = statement.path ?? statement.id;
    const client = this.byKey.get(key);
    if (client) this.#remove(client);
    return client;
  }

  /** From now on, until `endSnapshot`, the statements of a whole snapshot arrive. */
  beginSnapshot() {
    this.#generation++;
  }

  /** Forgets the clients that the snapshot did not have. Returns them. */
  endSnapshot() {
    return this.#removeIf((client) => client.generation !== this.#generation);
  }

  /** Forgets the clients whose report is older than `expireMs` (0: never). Returns them. */
  expire(serverNow, expireMs) {
    return expireMs > 0 ? this.#removeIf((client) => serverNow - client.receivedMs > expireMs) : [];
  }

  clear() {
    return this.#removeIf(() => true);
  }

  #removeIf(ends) {
    const ended = [...this.byKey.values()].filter(ends);
    ended.forEach((client) => this.#remove(client));
    return ended;
  }

  #remove(client) {
    this.byKey.delete(client.key);
    client.gone = true;
    this.membership++;
  }

  #move(client, x, y, now, glide) {
    const [fromX, fromY] = positionAt(client, now);
    const isFar = glide && Math.hypot(x - fromX, y - fromY) * glide.scale > GLIDE_VIEWS_MAX * glide.width;
    const jumps = !glide || isFar;
    [client.fromX, client.fromY] = jumps ? [x, y] : [fromX, fromY];
    [client.x, client.y, client.movedAt] = [x, y, jumps ? 0 : now];
    if (!jumps) this.glidingUntil = Math.max(this.glidingUntil, now + GLIDE_MS);
  }

  #serverIndex(name) {
    const index = this.servers.indexOf(name);
    return index >= 0 ? index : this.servers.push(name) - 1;
  }
}

/** Returns where the dot of a client is at a moment: [x, y]. */
export function positionAt(client, now) {
  const share = (now - client.movedAt) / GLIDE_MS;
  if (share >= 1 || client.movedAt === 0) return [client.x, client.y];
  const eased = share <= 0 ? 0 : 1 - (1 - share) * (1 - share);
  return [
    client.fromX + (client.x - client.fromX) * eased,
    client.fromY + (client.y - client.fromY) * eased,
  ];
}

/** Adds a point to a trail, an array x, y, moment, x, y, moment, …: the oldest first, bounded by number and age. */
function extendTrail(trail, x, y, now) {
  const length = trail.length;
  if (length > 0 && trail[length - 3] === x && trail[length - 2] === y) return;
  trail.push(x, y, now);
  let drop = Math.max(0, trail.length / 3 - TRAIL_POINTS_MAX);
  while (trail[drop * 3 + 2] < now - TRAIL_MS) drop++;
  if (drop > 0) trail.splice(0, drop * 3);
}

/** Returns whether a client's ID or server has the words of a search. */
export function matches(client, words) {
  const text = `${client.id} ${client.server}`.toLowerCase();
  return words.every((word) => text.includes(word));
}
