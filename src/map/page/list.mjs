// The list of clients: for screen readers it is the content of the page, for others its index.

import { ageClass, matches } from "./clients.mjs";
import { byId, isolated, make, setText } from "./dom.mjs";
import { SERVER_COLOURS } from "./dots.mjs";
import { coordinates, count, duration } from "./text.mjs";

/** Rows at first, and with each "more": thousands of rows would be slow to lay out and to read. */
const ROWS_STEP = 100;

/** The decimals of a position in the list, about a kilometre: the details have all. */
const DECIMALS = 2;

/** The signs of AGES: the same shapes as on the map. */
export const AGE_SIGNS = ["◉", "●", "○", "◇"];

export class ClientList {
  #clients;
  #onSelect;
  #rows = new Map();
  #rowsMax = ROWS_STEP;
  #byName = [];
  #membership = -1;

  constructor(clients, onSelect, onSearch) {
    this.#clients = clients;
    this.#onSelect = onSelect;
    byId("more").addEventListener("click", () => {
      this.#rowsMax += ROWS_STEP;
      onSearch();
    });
    byId("search").addEventListener("input", () => {
      this.#rowsMax = ROWS_STEP;
      onSearch();
    });
    byId("order").addEventListener("change", onSearch);
    byId("search").addEventListener("keydown", (event) => {
      const first = byId("rows").querySelector("button");
      if (event.key === "Enter" && first) first.click();
      else if (event.key === "ArrowDown" && first) first.focus();
      else return;
      event.preventDefault();
    });
    byId("rows").addEventListener("keydown", (event) => {
      const row = event.target.closest("tr");
      const next = { ArrowDown: row?.nextElementSibling, ArrowUp: row?.previousElementSibling }[event.key];
      if (!next) return;
      next.querySelector("button").focus();
      event.preventDefault();
    });
  }

  /** The words of the search, in lower case. */
  get words() {
    return byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  }

  /** Brings the rows up to date. */
  update(serverNow, selected, words) {
    if (this.#membership !== this.#clients.membership) {
      this.#membership = this.#clients.membership;
      this.#byName = [...this.#clients.values()].sort((a, b) => COLLATOR.compare(a.id, b.id));
    }
    let found = words.length > 0 ? this.#byName.filter((client) => matches(client, words)) : this.#byName;
    if (byId("order").value === "age") found = [...found].sort((a, b) => b.receivedMs - a.receivedMs);
    this.#place(found.slice(0, this.#rowsMax));
    for (const [client, row] of this.#rows) row.update(client, serverNow, client === selected);

    const all = this.#clients.size;
    setText(byId("clients-count"), words.length > 0 ? `${found.length.toLocaleString("en")} of ${count(all, "client")}` : count(all, "client"));
    byId("more").hidden = found.length <= this.#rowsMax;
    setText(byId("more"), `Show more (${(found.length - this.#rowsMax).toLocaleString("en")} further)`);
    setText(byId("empty"), found.length > 0 ? "" : words.length > 0 ? "No client matches." : "No client has reported yet.");
  }

  /** Puts the focus on the row of a client, if it has one. */
  focus(client) {
    (this.#rows.get(client)?.button ?? byId("search")).focus();
  }

  #place(shown) {
    const body = byId("rows");
    const wanted = new Set(shown);
    for (const [client, row] of this.#rows) {
      if (wanted.has(client)) continue;
      row.element.remove();
      this.#rows.delete(client);
    }
    // A row that moves would lose the focus, so rows keep their order while one has it.
    const keepsOrder = body.contains(document.activeElement);
    let next = body.firstElementChild;
    for (const client of shown) {
      let row = this.#rows.get(client);
      if (row && (keepsOrder || row.element === next)) {
        next = row.element.nextElementSibling;
        continue;
      }
      if (!row) this.#rows.set(client, (row = new Row(client, this.#onSelect)));
      body.insertBefore(row.element, next);
    }
  }
}

class Row {
  #age = make("td", { className: "age" });
  #where = make("td", { className: "where" });
  #server = make("td", { className: "server" });
  #serverName = "";

  constructor(client, onSelect) {
    this.button = make("button", { type: "button" }, isolated(client.id));
    // A click without a pointer is a press of a key: the focus then follows to the details.
    this.button.addEventListener("click", (event) => onSelect(client, event.detail === 0));
    this.element = make("tr", {}, make("th", { scope: "row" }, this.button), this.#age, this.#where, this.#server);
    this.sign = make("span", { className: "sign", ariaHidden: "true" });
    this.words = make("span");
    this.#age.append(this.sign, this.words);
  }

  update(client, serverNow, isSelected) {
    const ms = serverNow - client.receivedMs;
    setText(this.sign, AGE_SIGNS[ageClass(ms)]);
    setText(this.words, duration(ms));
    setText(this.#where, coordinates(client.latitude, client.longitude, DECIMALS));
    if (this.#serverName !== client.server) {
      this.#serverName = client.server;
      const chip = make("span", { className: `chip colour-${client.serverIndex % SERVER_COLOURS}`, ariaHidden: "true" });
      this.#server.replaceChildren(chip, isolated(client.server));
      this.sign.className = `sign colour-${client.serverIndex % SERVER_COLOURS}`;
    }
    if (isSelected) this.button.setAttribute("aria-current", "true");
    else this.button.removeAttribute("aria-current");
    this.element.classList.toggle("selected", isSelected);
  }
}

const COLLATOR = new Intl.Collator("en", { numeric: true });
