// The address bar is the state: #/LAYER/UNIT?picture=ID&lens=NAME,... Reads and writes it; knows nothing else.

const SHOWS = ["activations", "patches", "synthesised", "filters"];
const VIEWS = ["units", "explain", "map", "run"];
const PLAIN = ["picture", "show", "sort", "scale", "view", "epoch", "target", "opacity"];
const USUAL = { show: "activations", sort: "number", scale: "shared", view: "units", opacity: "0.75" };
const listeners = new Set();

/** Read an address (that of the page unless given one) as {layer, unit, picture, lens, ..., options}. */
export function read(hash = location.hash) {
  const [path, query = ""] = split(hash.replace(/^#\/?/, ""));
  const [layer = "", unit = ""] = path.split("/").map(decode);
  const words = new URLSearchParams(query);
  const options = {};
  for (const [key, value] of words) if (key.startsWith("option.")) options[key.slice(7)] = value;
  const one = (key) => words.get(key) || USUAL[key] || null;
  return {
    layer: layer || null,
    unit: /^\d+$/.test(unit) ? Number(unit) : null,
    picture: one("picture"),
    lens: (words.get("lens") ?? "").split(",").filter(Boolean),
    show: known(one("show"), SHOWS),
    sort: one("sort"),
    scale: known(one("scale"), ["shared", "own"]),
    other: words.get("other") === "1",
    view: known(one("view"), VIEWS),
    epoch: one("epoch"),
    target: one("target"),
    opacity: one("opacity"),
    options,
  };
}

/** Write what `read` gives as an address; what is as usual is left out. */
export function format(where) {
  const path = [where.layer ?? "", where.unit ?? ""].map((part) => encode(String(part)));
  const words = [];
  for (const key of PLAIN) {
    const value = where[key];
    if (value !== null && value !== undefined && value !== "" && value !== USUAL[key]) words.push([key, value]);
  }
  if (where.lens?.length) words.push(["lens", where.lens.join(",")]);
  if (where.other) words.push(["other", "1"]);
  for (const [name, value] of Object.entries(where.options ?? {})) {
    if (value !== null && value !== undefined) words.push([`option.${name}`, value]);
  }
  const query = words.map(([key, value]) => `${encode(key)}=${encode(String(value))}`).join("&");
  return `#/${path.join("/").replace(/\/$/, "")}${query ? `?${query}` : ""}`;
}

/** Change parts of the address. Options given are merged into those there; one that is null is taken away. */
export function write(change, { replace = false } = {}) {
  const now = read();
  const next = { ...now, ...change, options: { ...now.options, ...change.options } };
  const hash = format(next);
  if (hash === location.hash) return;
  history[replace ? "replaceState" : "pushState"](null, "", hash);
  tell();
}

/** The address of the same view with something changed, for links. */
export function link(change) {
  const now = read();
  return format({ ...now, ...change, options: { ...now.options, ...change.options } });
}

/** Call `listener(read())` now and whenever the address changes, by `write`, a link or the back button. */
export function listen(listener) {
  listeners.add(listener);
  listener(read());
  return () => listeners.delete(listener);
}

function tell() {
  const where = read();
  for (const listener of listeners) listener(where);
}

function split(text) {
  const at = text.indexOf("?");
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

// layers' names hold dots and ~, targets a colon: they stay readable
const encode = (text) => encodeURIComponent(text).replace(/%3A/g, ":").replace(/%2C/g, ",");
const known = (value, allowed) => (allowed.includes(value) ? value : allowed[0]);

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a stray % is a character like any other
  }
}

addEventListener("popstate", tell);
addEventListener("hashchange", tell);
