// The address of the server and the token of this tab.

const NAME = "herd token";

/** `…/t/TOKEN/` is the page for a token, too. The token leaves the address bar and the history. */
const inPath = location.pathname.match(/^(.*\/)t\/([^/]+)\/?$/);

/** The folder of this page, in which `v1/` is. */
const base = new URL(inPath ? inPath[1] : location.pathname.replace(/[^/]*$/, ""), location.origin);

if (inPath) {
  remember(decodeURIComponent(inPath[2]));
  history.replaceState(null, "", base);
}

/** Keeps a token in this tab; null forgets it. */
export function remember(token) {
  if (token) sessionStorage.setItem(NAME, token);
  else sessionStorage.removeItem(NAME);
}

/** Returns whether this tab has a token. */
export const isSignedIn = () => sessionStorage.getItem(NAME) !== null;

/** What the clock of the server is ahead of that of this machine, in ms, as far as its answers say. */
let aheadMs = 0;

/** Returns the time of the server in ms. */
export const serverNow = () => Date.now() + aheadMs;

/** Sends GET with the token. `credentials: omit`: the browser must not open its own dialog for a password. */
export async function ask(path, options = {}) {
  const token = sessionStorage.getItem(NAME);
  const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
  const response = await fetch(new URL(path, base), {
    ...options,
    headers,
    credentials: "omit",
    cache: "no-store",
  });
  const date = Date.parse(response.headers.get("Date") ?? "");
  // The field has whole seconds, so a smaller difference says nothing.
  if (!Number.isNaN(date)) aheadMs = Math.abs(date - Date.now()) > 2000 ? date - Date.now() : 0;
  return response;
}

/** Sends GET and returns the JSON of the answer. Throws with the server's own words. */
export async function askJson(path, options) {
  const response = await ask(path, options);
  const value = await response.json().catch(() => null);
  if (response.ok && value !== null) return value;
  const error = new Error(value?.error ?? `the server answered ${response.status}`);
  error.status = response.status;
  throw error;
}
