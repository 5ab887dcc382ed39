// One store for the whole page: panels read from it and are told what changed. Touches neither DOM nor network.

/** What everything is drawn from. Read it freely; change it through `set` alone. */
export const state = {
  // from the address
  layer: null, unit: null, picture: null, lens: [], show: "activations", sort: "number", scale: "shared",
  other: false, view: "units", epoch: null, target: null, options: {},
  // from the server
  session: null, network: null, lenses: [],
  // of the moment
  hover: null, field: null, place: null, opened: null, sprite: null, predictions: null, otherPredictions: null, occluded: null,
  covered: null, making: null, made: 0, status: "",
};

const listeners = new Set();
let changed = new Set();
let planned = false;

/** Change some values. Panels that listen to one of them are called once, after the current task. */
export function set(change) {
  for (const [key, value] of Object.entries(change)) {
    if (same(state[key], value)) continue;
    state[key] = value;
    changed.add(key);
  }
  if (changed.size && !planned) {
    planned = true;
    queueMicrotask(tell);
  }
}

/** Call `listener(state, changed)` now and whenever one of `keys` has changed. Returns how to stop. */
export function on(keys, listener) {
  const entry = { keys, listener };
  listeners.add(entry);
  call(entry, new Set(keys));
  return () => listeners.delete(entry);
}

/** Say something in the live region at the foot of the page; an empty text clears it. */
export const say = (text) => set({ status: text });

function tell() {
  planned = false;
  const keys = changed;
  changed = new Set();
  // one that another has stopped on the way is not called any more
  for (const entry of [...listeners]) if (listeners.has(entry) && entry.keys.some((key) => keys.has(key))) call(entry, keys);
}

function call(entry, keys) {
  try {
    const answer = entry.listener(state, keys);
    if (answer instanceof Promise) answer.catch(complain);
  } catch (error) {
    complain(error);
  }
}

// one panel that fails must not take the others with it
function complain(error) {
  console.error(error);
  say(error.message ?? String(error));
}

function same(one, two) {
  if (one === two) return true;
  if (typeof one !== "object" || typeof two !== "object" || one === null || two === null) return false;
  if (!plain(one) || !plain(two)) return false;
  return JSON.stringify(one) === JSON.stringify(two);
}

// bitmaps and nodes are compared by identity, and so is what holds much
const plain = (value) => Array.isArray(value) ? value.length < 64 : Object.getPrototypeOf(value) === Object.prototype && Object.keys(value).length < 16 && Object.values(value).every((one) => typeof one !== "object" || one === null || typeof one === "string");
