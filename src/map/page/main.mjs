// The live map: joins the stream of changes, the list, the details, the herd and the canvases.

import { AGES, Clients, matches, positionAt } from "./clients.mjs";
import { Details } from "./details.mjs";
import { byId, isolated, make, setText } from "./dom.mjs";
import { SERVER_COLOURS } from "./dots.mjs";
import { listen, ZOOM_STEP } from "./gestures.mjs";
import { HerdPanel } from "./herd.mjs";
import { nearestItem, REACH } from "./hit.mjs";
import { readPlaces } from "./labels.mjs";
import { AGE_SIGNS, ClientList } from "./list.mjs";
import { readOutline } from "./outline.mjs";
import { FINE_SCALE, Painter } from "./painter.mjs";
import { nearestCopy, View } from "./projection.mjs";
import { ask, isSignedIn, remember, serverNow } from "./session.mjs";
import { ChangeStream, OLD_MS } from "./stream.mjs";
import { duration, visible } from "./text.mjs";

/** Intervals in ms: texts, trails, the state of the herd, the clients near the selected one. */
const TEXT_MS = 1000;
const TRAIL_PAINT_MS = 400;
const HERD_MS = 3000;
const NEAR_MS = 5000;

/** The time in ms after which a hidden page closes its stream: a browser has six connections for all its tabs. */
const HIDDEN_MS = 30_000;

/** The closest scale of "show all" and of "show on map": about a town. */
const FIT_SCALE_MAX = 200_000;

const view = new View();
const clients = new Clients();
const painter = new Painter([byId("base"), byId("trails"), byId("dots")], view);
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const details = new Details(clients, { select, changed: () => (dirty.dots = true) });
const herd = new HerdPanel();
const list = new ClientList(clients, select, () => updateTexts());

/** What must be painted again. */
const dirty = { base: true, trails: true, dots: true };
let hovered = null;
let following = false;
let words = [];
let hasFitted = false;
let trailsAt = 0;
let hasPaintedDot = false;

// ---- the stream ----------------------------------------------------------------------------------------------------

const stream = new ChangeStream(ask, {
  mayResume: () => herd.expireMs !== null,
  snapshotBegins: () => clients.beginSnapshot(),
  snapshotEnds: () => {
    clients.endSnapshot();
    dirty.dots = dirty.trails = true;
  },
  events: (events) => {
    const now = performance.now();
    const glide = calm.matches || document.hidden || stream.phase === "loading" ? null : view;
    for (const { name, value } of events) {
      if (name === "at") clients.at(value, now, glide);
      else if (name === "left") clients.left(value);
    }
    dirty.dots = true;
    schedule();
  },
  changed: () => {
    if (stream.phase === "live" && !hasFitted && clients.size > 0) {
      hasFitted = true;
      showAll();
    }
    if (stream.phase === "signed out") askForToken();
    updateStatus();
    updateTexts();
    schedule();
  },
});

/** The status in words; the phase also has a shape in style.css. */
function updateStatus() {
  const silence = stream.heardAt === 0 ? 0 : Date.now() - stream.heardAt;
  const isOld = stream.heardAt > 0 && (stream.phase === "live" ? silence > OLD_MS : stream.phase !== "loading");
  const words = {
    connecting: stream.heardAt > 0 ? "Reconnecting …" : "Connecting …",
    loading: "Loading …",
    live: isOld ? "The server is silent." : "Live",
    waiting: `Not connected: ${stream.why}. Trying again.`,
    paused: "Paused while hidden",
    "signed out": "Sign in to see clients",
    refused: "This token may not see clients",
  };
  byId("status").dataset.phase = isOld && stream.phase === "live" ? "waiting" : stream.phase;
  setText(byId("status-text"), words[stream.phase]);
  setText(byId("status-age"), isOld && clients.size > 0 ? `What you see is ${duration(silence)} old.` : "");
  document.body.classList.toggle("old", isOld);
  byId("sign-out").hidden = !isSignedIn();
}

function askForToken() {
  setText(byId("sign-in-why"), isSignedIn() ? "This server does not take that token." : "This server shows its clients to those with a token.");
  remember(null);
  stream.reset();
  clients.clear();
  select(null);
  hasFitted = false;
  byId("sign-in").hidden = false;
  document.body.classList.add("signed-out");
  byId("token").focus();
}

byId("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  remember(byId("token").value.trim());
  byId("token").value = "";
  byId("sign-in").hidden = true;
  document.body.classList.remove("signed-out");
  stream.reset();
  stream.start();
  herd.refresh();
});

byId("sign-out").addEventListener("click", () => {
  remember(null);
  stream.reset();
  stream.start();
});

let hiddenTimer = null;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiddenTimer);
  if (document.hidden) {
    if (stream.phase !== "signed out") hiddenTimer = setTimeout(() => stream.pause(), HIDDEN_MS);
    return;
  }
  // A machine that slept has a dead connection, and timers that did not run.
  if (stream.phase === "paused" || stream.phase === "waiting") stream.start();
  else stream.check();
  dirty.base = dirty.trails = dirty.dots = true;
  schedule();
});
addEventListener("online", () => stream.phase === "waiting" && stream.start());

// ---- selecting -----------------------------------------------------------------------------------------------------

function select(client, isByKey = false) {
  details.select(client);
  setFollowing(false);
  details.update(serverNow());
  if (client && !isInView(client)) showOnMap(client);
  if (client && isByKey) byId("details-name").focus();
  dirty.dots = dirty.trails = true;
  updateTexts();
  schedule();
}

function isInView(client) {
  const [px, py] = [view.px(client.x), view.py(client.y)];
  return px > 20 && py > 20 && px < view.width - 20 && py < view.height - 20;
}

function showOnMap(client, scale = Math.max(view.scale, Math.min(FIT_SCALE_MAX, view.scaleMin * 8))) {
  view.moveTo(client.x, client.y, scale);
  viewChanged();
}

function setFollowing(on) {
  following = on && details.selected !== null;
  byId("follow").setAttribute("aria-pressed", String(following));
  setText(byId("follow"), following ? "Following" : "Follow");
  schedule();
}

function closeDetails() {
  const client = details.selected;
  select(null);
  if (client) list.focus(client);
}

byId("close").addEventListener("click", closeDetails);
byId("details").addEventListener("keydown", (event) => event.key === "Escape" && closeDetails());
byId("follow").addEventListener("click", () => setFollowing(!following));
byId("show").addEventListener("click", () => {
  showOnMap(details.selected, Math.max(view.scale, FIT_SCALE_MAX));
  byId("map").scrollIntoView({ block: "nearest" });
});
byId("near-km").addEventListener("change", () => {
  dirty.dots = true;
  schedule();
});

// ---- moving the map ------------------------------------------------------------------------------------------------

function viewChanged() {
  dirty.base = dirty.trails = dirty.dots = true;
  if (view.scale >= FINE_SCALE) loadFineOutline();
  schedule();
}

function showAll() {
  const matching = [...clients.values()].filter(isMatch);
  if (matching.length === 0) view.moveTo(0.5, 0.42, 0);
  else view.fit(matching.map((client) => [client.x, client.y]), FIT_SCALE_MAX);
  setFollowing(false);
  viewChanged();
}

const isMatch = (client) => words.length === 0 || matches(client, words);

function clientAt(px, py, type) {
  const now = performance.now();
  return nearestItem(clients.values(), view, px, py, REACH[type] ?? REACH.mouse, (client) => positionAt(client, now));
}

listen(byId("map"), {
  pan: (dx, dy) => {
    hasFitted = true;
    setFollowing(false);
    view.pan(dx, dy);
    viewChanged();
  },
  zoom: (factor, px, py) => {
    hasFitted = true;
    if (following) view.zoom(factor);
    else view.zoom(factor, px, py);
    viewChanged();
  },
  click: (px, py, type) => select(clientAt(px, py, type)),
  hover: (px, py, type) => showTip(clientAt(px, py, type)),
  leave: () => showTip(null),
  showAll,
});
byId("zoom-in").addEventListener("click", () => {
  view.zoom(ZOOM_STEP);
  viewChanged();
});
byId("zoom-out").addEventListener("click", () => {
  view.zoom(1 / ZOOM_STEP);
  viewChanged();
});
byId("fit").addEventListener("click", showAll);

function showTip(client) {
  byId("map").classList.toggle("pointing", client !== null);
  if (client !== hovered) {
    hovered = client;
    byId("tip").hidden = client === null;
    if (client) byId("tip").replaceChildren(isolated(client.id), make("span", {}), isolated(client.server));
  }
  if (client) placeTip();
}

function placeTip() {
  const [x, y] = positionAt(hovered, performance.now());
  setText(byId("tip").children[1], ` ${duration(serverNow() - hovered.receivedMs)} · `);
  // Styles set by a script are not inline styles for the policy of this page.
  byId("tip").style.left = `${Math.min(view.px(x), view.width - byId("tip").offsetWidth - 20)}px`;
  byId("tip").style.top = `${view.py(y)}px`;
}

// ---- painting ------------------------------------------------------------------------------------------------------

let isScheduled = false;

function schedule() {
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(paint);
}

function paint(now) {
  isScheduled = false;
  now = Math.max(now, performance.now());
  if (following && details.selected) {
    const [x, y] = positionAt(details.selected, now);
    if (x !== view.x || y !== view.y) {
      view.moveTo(nearestCopy(x, 0.5), y);
      dirty.base = dirty.trails = dirty.dots = true;
    }
  }
  const glides = now < clients.glidingUntil;
  const scene = {
    now,
    serverNow: serverNow(),
    selected: details.selected?.gone ? null : details.selected,
    nearKm: details.nearKm,
    places: details.places,
    words,
    isMatch,
  };
  if (dirty.base) painter.paintBase();
  if (dirty.trails || (dirty.dots && now - trailsAt > TRAIL_PAINT_MS)) {
    trailsAt = now;
    painter.paintTrails(clients.values(), scene);
  }
  if (dirty.dots || glides) {
    const visibleCount = painter.paintDots(clients.values(), scene);
    // For measurements: the moment at which the first dot is there.
    if (!hasPaintedDot && visibleCount > 0) performance.mark("first dot");
    hasPaintedDot ||= visibleCount > 0;
  }
  if (hovered) placeTip();
  dirty.base = dirty.trails = false;
  dirty.dots = glides;
  if (glides) schedule();
}

new ResizeObserver(() => {
  const box = byId("map").getBoundingClientRect();
  painter.resize(box.width, box.height);
  viewChanged();
}).observe(byId("map"));

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  painter.readColours();
  viewChanged();
});

// ---- texts ---------------------------------------------------------------------------------------------------------

function updateTexts() {
  words = list.words;
  list.update(serverNow(), details.selected, words);
  details.update(serverNow());
  updateLegend();
  if (hovered?.gone) showTip(null);
}

let legendOf = -1;
function updateLegend() {
  if (legendOf === clients.servers.length) return;
  legendOf = clients.servers.length;
  byId("legend-servers").replaceChildren(
    ...clients.servers.slice(0, SERVER_COLOURS).map((server, i) =>
      make("li", {}, make("span", { className: `chip colour-${i}`, ariaHidden: "true" }), make("bdi", { textContent: visible(server) })),
    ),
  );
}
byId("legend-ages").replaceChildren(
  ...AGES.map(({ words: limit }, i) => make("li", {}, make("span", { className: "sign", ariaHidden: "true", textContent: AGE_SIGNS[i] }), limit)),
);

setInterval(() => {
  stream.check();
  if (document.hidden) return;
  if (herd.expireMs > 0) clients.expire(serverNow(), herd.expireMs);
  updateStatus();
  updateTexts();
  dirty.dots = dirty.trails = true;
  schedule();
}, TEXT_MS);
setInterval(() => !document.hidden && stream.phase !== "signed out" && herd.refresh(), HERD_MS);
setInterval(() => !document.hidden && stream.phase === "live" && details.refresh(), NEAR_MS);
byId("search").addEventListener("input", () => {
  dirty.dots = dirty.trails = true;
  schedule();
});

// ---- data ----------------------------------------------------------------------------------------------------------

async function load(name) {
  const response = await fetch(new URL(name, import.meta.url), { credentials: "omit" });
  if (!response.ok) throw new Error(`${name}: the server answered ${response.status}`);
  return response;
}

const loadOutline = async (name) => readOutline(new Uint8Array(await (await load(name)).arrayBuffer()));

let fineAsked = false;
async function loadFineOutline() {
  if (fineAsked) return;
  fineAsked = true;
  try {
    painter.fine = await loadOutline("./land-50m.bin");
    viewChanged();
  } catch {
    // The coarse coast stays; the next change of the view asks again.
    fineAsked = false;
  }
}

stream.start();
herd.refresh();
updateStatus();
loadOutline("./land-110m.bin").then((rings) => {
  painter.coarse = rings;
  viewChanged();
});
load("./places.json").then((response) => response.json()).then((json) => {
  painter.places = readPlaces(json);
  viewChanged();
});
