// The parser of an event stream (HTML standard, section 9.2). EventSource cannot send a token, so the page reads the
// stream itself.

/** A line or an event above this length, in characters, is no event of a herd: a statement has at most 10 KiB. */
const LENGTH_MAX = 1 << 20;

/** Reads the text of a stream piece by piece. */
export class EventParser {
  /** The last id of the stream, for Last-Event-ID. */
  lastId = "";
  #rest = "";
  #name = "";
  #data = [];
  #length = 0;
  #afterCr = false;

  /** Returns the events that this piece completes: [{ name, data, id }]. */
  push(text) {
    if (this.#afterCr && text.startsWith("\n")) text = text.slice(1);
    if (text === "") return [];
    this.#afterCr = text.endsWith("\r");
    const lines = (this.#rest + text).split(/\r\n|\n|\r/);
    this.#rest = lines.pop();
    if (this.#rest.length > LENGTH_MAX) throw new Error("event stream: a line is longer than 1 MiB");
    const events = [];
    for (const line of lines) {
      const event = line === "" ? this.#finish() : this.#field(line);
      if (event) events.push(event);
    }
    return events;
  }

  #field(line) {
    const colon = line.indexOf(":");
    if (colon === 0) return null;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "event") this.#name = value;
    else if (field === "id" && !value.includes("\0")) this.lastId = value;
    else if (field === "data") {
      this.#length += value.length;
      if (this.#length > LENGTH_MAX) throw new Error("event stream: an event is longer than 1 MiB");
      this.#data.push(value);
    }
    return null;
  }

  #finish() {
    const event = { name: this.#name || "message", data: this.#data.join("\n"), id: this.lastId };
    const isEmpty = this.#data.length === 0;
    [this.#name, this.#data, this.#length] = ["", [], 0];
    return isEmpty ? null : event;
  }
}
