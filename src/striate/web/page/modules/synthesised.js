// Pictures made for units, a few at a time, for the grid: small and in few steps, so that a whole view takes seconds.

import { bitmap, events, get, post, remove } from "./api.js";
import { say, set, state } from "./state.js";

const AT_ONCE = 6; // units of one job: so many are drawn one by one
const QUICK = { size: 96, steps: 64 }; // pixels and steps, of 224 and 128 or more in the card
const made = new Map(); // "other layer:unit" -> ImageBitmap

const key = (unit, other) => `${other ? 1 : 0} ${state.epoch ?? ""} ${state.layer}:${unit}`;

/** The picture made for a unit of this layer, or undefined. */
export const pictureOf = (unit, other) => made.get(key(unit, other));

/** Make what is still missing of these units, one job after the other, and say so in `state.making`. */
export async function make(units, other) {
  if (state.making) return;
  const held = new Set(!other && state.sprite?.show === "synthesised" ? state.sprite.info.made : []); // made before
  const missing = units.filter((unit) => !pictureOf(unit, other) && !held.has(unit));
  const { layer } = state;
  let done = 0;
  try {
    while (missing.length && state.layer === layer && state.show === "synthesised") {
      const some = missing.splice(0, AT_ONCE);
      set({ making: { done, total: done + some.length + missing.length, id: null, over: false } });
      if (!(await one(layer, some, other))) break;
      done += some.length;
    }
  } catch (error) {
    say(error.message);
  } finally {
    set({ making: null });
  }
}

/** Stop after the best so far. */
export function stop() {
  if (!state.making) return;
  const { id } = state.making;
  set({ making: { ...state.making, over: true } });
  if (id) remove(`jobs/${id}`).catch((error) => say(error.message));
}

async function one(layer, units, other) {
  const names = units.map((unit) => key(unit, other)); // as they are called now, whatever is looked at later
  const target = units.map((unit) => `${layer}:${unit}`);
  const epoch = other || !state.epoch ? null : Number(state.epoch);
  let found = await post("run", { lens: "synthesize", pictures: [], target, options: QUICK, other, epoch });
  if (found.job) {
    set({ making: { ...state.making, id: found.job } });
    if (state.making.over) remove(`jobs/${found.job}`).catch(() => {}); // it was stopped before it had a number
    found = await ended(found.job);
  }
  const drawn = found.drawings.filter(({ title }) => target.includes(title));
  await Promise.all(drawn.map(async ({ title, url }) => {
    const at = target.indexOf(title);
    if (!made.has(names[at])) made.set(names[at], await bitmap(url.replace(/^\/?api\//, "")));
  }));
  set({ made: (state.made ?? 0) + drawn.length });
  return !state.making?.over;
}

function ended(id) {
  return new Promise((resolve, reject) => {
    events(`jobs/${id}/events`, {
      progress: ({ done, total }) => set({ making: { ...state.making, part: total ? done / total : 0 } }),
      done: (end) => resolve(end.drawings ? end : get(`jobs/${id}`).then(({ result }) => result)),
      failed: ({ error }) => reject(new Error(error)),
    });
  });
}
