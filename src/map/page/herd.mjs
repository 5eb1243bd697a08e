// The herd as this server sees it: its neighbours, both links of each, and how far each is behind.

import { byId, isolated, make, setText } from "./dom.mjs";
import { askJson, serverNow } from "./session.mjs";
import { count, duration, visible } from "./text.mjs";

const SVG = "http://www.w3.org/2000/svg";

export class HerdPanel {
  /** `limits.expire_s` of the server in ms, 0: never; null: the token may not read it, or it is not yet known. */
  expireMs = null;
  #shown = "";

  /** Asks the server. Nothing changes while it does not answer: the status line says that. */
  async refresh() {
    try {
      this.#show(await askJson("v1/herd"));
      setText(byId("herd-note"), "");
    } catch (error) {
      if (error.status === 403) {
        setText(byId("herd-summary"), "not with this token");
        setText(byId("herd-note"), "A token that may “operate” shows the herd here.");
      } else if (this.#shown !== "") setText(byId("herd-note"), "As it was when the server last answered.");
    }
  }

  #show(herd) {
    this.expireMs = typeof herd.expire_s === "number" ? herd.expire_s * 1000 : null;
    setText(byId("herd-name"), visible(herd.herd));
    setText(byId("server-name"), visible(herd.name));
    document.title = `${visible(herd.name)} · ${visible(herd.herd)}`;
    const down = herd.neighbours.filter((neighbour) => !isUp(neighbour));
    setText(byId("herd-summary"), summary(herd.neighbours.length, down));
    byId("herd").classList.toggle("broken", down.length > 0);
    byId("links").hidden = herd.neighbours.length === 0;
    byId("links-rows").replaceChildren(...herd.neighbours.map(linkRow));
    const facts = [
      ["Server", `${visible(herd.name)}, version ${herd.version}`],
      ["Running for", duration(uptimeMs(herd))],
      ["Holds", count(herd.clients, "client")],
      ["Serves", count(herd.connections, "connection")],
      ["Changes", `${herd.sequence.toLocaleString("en")} in epoch ${herd.epoch}`],
    ];
    byId("herd-facts").replaceChildren(
      ...facts.flatMap(([name, text]) => [make("dt", { textContent: name }), make("dd", { textContent: text })]),
    );
    const picture = JSON.stringify([herd.name, herd.neighbours.map((n) => [n.name, isLinkUp(n.to), isLinkUp(n.from)])]);
    if (picture !== this.#shown) byId("herd-graph").replaceChildren(graph(herd));
    this.#shown = picture;
  }
}

const isLinkUp = (link) => link?.state === "up";
const isUp = (neighbour) => isLinkUp(neighbour.to) && isLinkUp(neighbour.from);
const uptimeMs = (herd) => Number(herd.uptime) * 1000;

function summary(neighbours, down) {
  if (neighbours === 0) return "this server alone";
  if (down.length === 0) return `${count(neighbours, "neighbour")}, all linked`;
  return `✕ ${down.map((neighbour) => visible(neighbour.name)).join(", ")} down`;
}

function linkRow(neighbour) {
  const name = make("th", { scope: "row", title: neighbour.address ?? "" }, isolated(neighbour.name));
  const behind = Number(neighbour.unacknowledged ?? 0);
  return make("tr", {}, name, linkCell(neighbour.to), linkCell(neighbour.from),
    make("td", { className: behind > 0 ? "behind" : "", textContent: behind > 0 ? count(behind, "change") : "0" }));
}

function linkCell(link) {
  const state = link?.state ?? "unknown";
  const isGood = isLinkUp(link);
  const time = typeof link?.since === "number" ? serverNow() - link.since * 1000 : null;
  const trip = isGood && typeof link.round_trip_ms === "number" ? `, ${link.round_trip_ms.toFixed(1)} ms` : "";
  const since = !isGood && time !== null ? ` for ${time < 2000 ? "1 s" : duration(time)}` : "";
  return make("td", { className: isGood ? "up" : "down" },
    make("span", { ariaHidden: "true", textContent: isGood ? "● " : "✕ " }), `${state}${trip}${since}`);
}

/** Draws this server in the middle and its neighbours around it. The table has the same as text. */
function graph(herd) {
  const n = herd.neighbours.length;
  const isRow = n <= 2;
  const [width, height] = [340, isRow ? 60 : 170];
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  const [x, y] = [width / 2, height / 2];
  const around = herd.neighbours.map((neighbour, i) => {
    const angle = (i / n) * 2 * Math.PI - (isRow ? 0 : Math.PI / 2);
    return { neighbour, x: x + Math.cos(angle) * 120, y: y + Math.sin(angle) * 58 };
  });
  for (const { neighbour, x: x1, y: y1 } of around) {
    const isGood = isUp(neighbour);
    picture.append(svg("line", { x1: x, y1: y, x2: x1, y2: y1, class: isGood ? "link" : "link down" }));
    if (!isGood) picture.append(text("✕", (x + x1) / 2, (y + y1) / 2, "cross"));
  }
  for (const { neighbour, x: x1, y: y1 } of around) node(picture, neighbour.name, x1, y1, isUp(neighbour) ? "node" : "node down");
  node(picture, herd.name, x, y, "node own");
  return picture;
}

function node(picture, name, x, y, className) {
  const words = visible(name).length > 12 ? `${visible(name).slice(0, 11)}…` : visible(name);
  const width = Math.max(48, words.length * 8 + 18);
  picture.append(svg("rect", { x: x - width / 2, y: y - 13, width, height: 26, rx: 13, class: className }));
  picture.append(text(words, x, y, className));
}

function text(words, x, y, className) {
  const element = svg("text", { x, y, class: className, "text-anchor": "middle", "dominant-baseline": "central" });
  element.textContent = words;
  return element;
}

function svg(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
