// Texts for people. An ID is chosen by a client and may hold any character.

// Control characters, and those that change the direction of the text around them.
const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** Returns an ID in which every character is visible and none changes the direction of others: U+202E is ‹202E›. */
export const visible = (id) =>
  id.replace(INVISIBLE, (c) => `‹${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}›`);

/** Returns a text of at most `length` characters; a longer one ends in an ellipsis. */
export function shortened(text, length) {
  if (text.length <= length) return text;
  const characters = Array.from(text);
  return characters.length <= length ? text : characters.slice(0, length - 1).join("") + "…";
}

/** Returns a duration in words, in its largest unit: "now", "12 s", "3 min", "5 h", "2 days". */
export function duration(ms) {
  const s = Math.round(Math.abs(ms) / 1000);
  if (s < 2) return "now";
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h`;
  if (s < 63072000) return `${Math.floor(s / 86400)} days`;
  return `${Math.floor(s / 31536000)} years`;
}

/** Returns an age in words: "now", "12 s ago"; a time to come is "in 12 s". */
export function age(ms) {
  const words = duration(ms);
  if (words === "now") return words;
  return ms < 0 ? `in ${words}` : `${words} ago`;
}

/** Returns a distance in words: "412 m", "3.9 km", "1,204 km". */
export function distance(km) {
  if (km < 0.9995) return `${Math.round(km * 1000)} m`;
  return km < 99.95 ? `${km.toFixed(1)} km` : `${Math.round(km).toLocaleString("en")} km`;
}

/** Returns a position in words: "34.06893° N 118.44513° W". Five decimals are about a metre. */
export function coordinates(latitude, longitude, decimals = 5) {
  const number = (degrees) => Math.abs(degrees).toFixed(decimals);
  return `${number(latitude)}° ${latitude < 0 ? "S" : "N"} ${number(longitude)}° ${longitude < 0 ? "W" : "E"}`;
}

/** Returns "1 client", "2 clients". */
export const count = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;

/** Returns the text of a piece of HTML, as Places services attribute their sources: without tags and entities. */
export const plain = (html) =>
  html
    .replace(/<[^>]*>/g, "")
    .replace(/&(amp|lt|gt|quot|#39|apos);/g, (_, name) => ENTITIES[name])
    .trim();

const ENTITIES = { amp: "&", lt: "<", gt: ">", quot: '"', "#39": "'", apos: "'" };
