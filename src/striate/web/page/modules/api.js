// Asks the server. A newer question of the same lane takes the place of the older one. Touches no DOM.

const lanes = new Map();
const kept = new Map(); // answers in memory: what depends on weights and question alone stays true
const KEPT = 400;

/** An answer that is not what was asked for; its message is for people. */
export class ServerError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** The address of something under /api, for <img> and fetch; parameters that are null, false or empty are left out. */
export function url(path, parameters = {}) {
  const words = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) {
    if (value === null || value === undefined || value === false || value === "") continue;
    words.set(key, value === true ? "1" : Array.isArray(value) ? value.join(",") : value);
  }
  const query = words.toString();
  return `api/${path.replace(/^\//, "")}${query ? `?${query}` : ""}`;
}

/** Get JSON. A newer request of the same `lane` aborts this one, which then gives undefined. */
export const get = (path, parameters, { lane, keep = false } = {}) => {
  const address = url(path, parameters);
  if (keep && kept.has(address)) {
    abort(lane);
    return Promise.resolve(kept.get(address));
  }
  return ask(address, {}, lane, (answer) => answer.json()).then((found) => {
    if (keep && found !== undefined) remember(address, found);
    return found;
  });
};

/** Get a picture as a bitmap that canvases draw at once. */
export const bitmap = (path, parameters, { lane } = {}) =>
  ask(url(path, parameters), {}, lane, async (answer) => createImageBitmap(await answer.blob()));

/** Get a file as it is: a Blob. */
export const file = (path, parameters) => ask(url(path, parameters), {}, null, (answer) => answer.blob());

/** Send JSON, or raw bytes (a Blob), and get JSON. */
export const post = (path, body, { lane } = {}) => {
  const raw = body instanceof Blob;
  const type = raw ? body.type || "application/octet-stream" : "application/json";
  const options = { method: "POST", headers: { "Content-Type": type }, body: raw ? body : JSON.stringify(body) };
  return ask(url(path), options, lane, (answer) => answer.json());
};

/** Ask for something to be stopped or removed. */
export const remove = (path) => ask(url(path), { method: "DELETE" }, null, () => true);

/** Let nothing more come of what this lane has asked for. */
export function abort(lane) {
  if (lane && lanes.has(lane)) {
    lanes.get(lane).abort();
    lanes.delete(lane);
  }
}

/**
 * Listen to a job: progress({done, total, note, picture}), done({result}), failed({error}). Returns how to stop.
 * A job to which nobody listens any more, since the page was closed, is stopped by the server.
 */
export function events(path, { progress, done, failed }) {
  const source = new EventSource(url(path));
  const close = () => source.close();
  const hear = (name, listener, last) =>
    source.addEventListener(name, (event) => {
      if (last) close();
      listener?.(JSON.parse(event.data));
    });
  hear("progress", progress, false);
  hear("done", done, true);
  hear("failed", failed, true);
  let lost = 0;
  source.addEventListener("open", () => { lost = 0; });
  source.onerror = () => {
    lost += 1; // the browser tries again by itself; a server that is gone stays gone
    if (source.readyState === EventSource.CLOSED || lost > 4) {
      close();
      failed?.({ error: "The server no longer answers." });
    }
  };
  return close;
}

async function ask(address, options, lane, take) {
  const control = new AbortController();
  abort(lane);
  if (lane) lanes.set(lane, control);
  try {
    const answer = await fetch(address, { ...options, signal: control.signal, credentials: "same-origin" });
    if (!answer.ok) throw new ServerError(await sentence(answer), answer.status);
    return await take(answer);
  } catch (error) {
    if (control.signal.aborted) return undefined;
    if (error instanceof TypeError) throw new ServerError("The server does not answer. Is `striate serve` still running?", 0);
    throw error;
  } finally {
    if (lane && lanes.get(lane) === control) lanes.delete(lane);
  }
}

async function sentence(answer) {
  try {
    const found = await answer.json();
    if (typeof found.error === "string") return found.error;
  } catch {
    // not JSON: the status has to do
  }
  return `The server answers ${answer.status} ${answer.statusText}.`;
}

function remember(address, found) {
  kept.set(address, found);
  if (kept.size > KEPT) kept.delete(kept.keys().next().value);
}
