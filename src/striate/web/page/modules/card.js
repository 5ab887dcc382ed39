// The card of the chosen unit: what it answers to, how often, by class, what is like it, and a picture made for it.

import { write } from "./address.js";
import { events, get, post, remove, url } from "./api.js";
import { crop, framed, go, open, what } from "./atlas.js";
import { lacking } from "./contents.js";
import { address, clear, h, number, s, share } from "./dom.js";
import { on, say, state } from "./state.js";

const WAYS = { patch: "Patch", whole: "In its picture", guided: "Guided" };
const ROWS = { top: "Most", strip: "From least to most", bottom: "Least" };
const made = new Map(); // pictures made for units, by address and recipe
let way = "patch";
let row = "top";
let recipe = "lucid";
let job = null; // {id, unit, close}

export function mount(panel) {
  const head = h("header");
  const here = h("section", { "aria-label": "In this picture" });
  const synthesis = h("section", { class: "made", "aria-label": "A picture made for the unit" });
  const known = h("div");
  clear(panel, head, here, synthesis, known);
  on(["layer", "unit", "session", "network"], () => {
    title(head);
    synthesised(synthesis);
    facts(known);
  });
  on(["layer", "unit", "sprite", "picture"], () => now(here));
}

const unit = () => (state.unit === null ? null : `${state.layer}:${state.unit}`);
const has = (layer) => state.network?.layers.some((one) => one.address === layer);

function title(head) {
  const { layer, unit: channel, network } = state;
  if (channel === null) {
    clear(head, h("h2", {}, "Unit"), h("p", { class: "quiet" }, "Choose a unit in the grid: what it answers to, how often, and which units are like it stands here."));
    return;
  }
  const count = network?.layers.find((one) => one.address === layer)?.units ?? Infinity;
  const step = (by, words, sign) => h("button", {
    class: "round", "aria-label": words, title: words, disabled: channel + by < 0 || channel + by >= count, onclick: () => write({ unit: channel + by }),
  }, sign);
  clear(head, h("h2", {}, address(`${layer}:${channel}`)), h("span", { class: "steps" }, step(-1, "The unit before", "‹"), step(1, "The next unit", "›")));
}

// --- in the picture that is looked at

function now(place) {
  const { sprite, unit: channel, layer } = state;
  const info = sprite?.info;
  if (channel === null || sprite?.layer !== layer || sprite.show !== "activations" || !info?.maxima) return void clear(place);
  const rank = info.maxima.reduce((above, one) => above + (one > info.maxima[channel] ? 1 : 0), 1);
  clear(place, h("dl", { class: "figures" },
    h("div", {}, h("dt", {}, "Most in this picture"), h("dd", {}, `${number(info.maxima[channel])}, number ${rank} of ${info.channels}`)),
    h("div", {}, h("dt", {}, "Mean of its map"), h("dd", {}, number(info.means?.[channel])))));
}

// --- a picture made for it

function synthesised(place) {
  const target = unit();
  if (job?.unit === target) return; // it is being watched
  leave();
  clear(place);
  if (target === null) return;
  const key = `${target} ${recipe} ${state.other}`;
  const options = state.lenses?.find(({ name }) => name === "synthesize")?.options ?? [];
  const recipes = options.find(({ name }) => name === "recipe")?.choices ?? [];
  const start = h("button", { class: "small main", onclick: () => make(place, target, key) }, made.has(key) ? "Again" : "Make it");
  const choice = recipes.length > 1 && h("label", {}, "Recipe ", h("select", { onchange: (event) => { recipe = event.target.value; synthesised(place); } },
    recipes.map((one) => h("option", { value: one, selected: one === recipe }, one))));
  const held = made.get(key);
  if (state.session.exported) return void clear(place);
  clear(place, h("h3", {}, "A picture made for it"),
    held
      ? [h("img", { class: "result", src: held.url, alt: `Picture made for ${target}` }), h("p", { class: "words" }, held.words)]
      : h("p", { class: "quiet" }, "The picture to which this unit answers most, found by going uphill from noise. It takes a while; you can watch, and stop with the best so far."),
    h("p", { class: "tools" }, !held || recipes.length > 1 ? start : null, choice));
}

async function make(place, target, key) {
  leave();
  const picture = h("img", { class: "result", alt: `The picture made for ${target} so far`, hidden: true });
  const bar = h("progress", { max: 1, "aria-label": "Steps" });
  const words = h("p", { class: "words", role: "status" }, "Waiting for its turn …");
  const stop = h("button", { class: "small", onclick: () => { stop.disabled = true; words.textContent = "Stopping …"; halt(); } }, "Stop");
  clear(place, h("h3", {}, "A picture made for it"), picture, words, h("p", { class: "going" }, bar, stop));
  stop.focus();
  const own = job = { id: null, unit: target, close() {} };
  try {
    const begun = await post("jobs", { kind: "lens", lens: "synthesize", target: [target], options: { recipe }, other: state.other });
    own.id = begun.job;
    if (job !== own) return void remove(`jobs/${own.id}`); // left in the meantime
    own.close = events(`jobs/${begun.job}/events`, {
      progress({ done, total, note, picture: small }) {
        if (small) Object.assign(picture, { src: small, hidden: false });
        if (total) bar.value = done / total;
        if (!stop.disabled) words.textContent = total ? `Step ${done} of ${total}${note ? `, ${note}` : ""}` : note || "…";
      },
      done(end) {
        const found = end.drawings ? end : end.result;
        const drawing = found.drawings[0];
        made.set(key, { url: drawing.url, words: sentence(found) });
        finish(place);
      },
      failed({ error, stopped }) {
        if (!stopped) say(error);
        finish(place);
      },
    });
  } catch (error) {
    say(error.message);
    finish(place);
  }
}

function finish(place) {
  job = null;
  synthesised(place);
}

function sentence(found) {
  const parts = [found.drawings[0].caption || found.caption, ...found.notes];
  return parts.filter(Boolean).join(" ");
}

const halt = () => { if (job?.id) remove(`jobs/${job.id}`).catch((error) => say(error.message)); };

/** Another unit is looked at: nobody waits for this picture any more. */
function leave() {
  if (!job) return;
  job.close();
  halt();
  job = null;
}

// --- what the atlas knows

async function facts(place) {
  const { session, layer, unit: channel } = state;
  if (channel === null || !session?.atlas) return void clear(place, channel !== null && session && !session.atlas
    ? h("p", { class: "quiet" }, "With an atlas of a data set (striate serve … --atlas ATLAS) its best patches, its histogram and its classes stand here.") : null);
  if (!session.atlas.layers.includes(layer)) return void clear(place, h("p", { class: "quiet words" }, lacking("patches")));
  place.setAttribute("aria-busy", "true");
  try {
    const found = await get("unit", { layer, unit: channel }, { lane: "card", keep: true });
    if (found && state.layer === layer && state.unit === channel) draw(place, found);
  } catch (error) {
    clear(place, h("p", { class: "quiet words" }, linked(error.message)));
  } finally {
    place.removeAttribute("aria-busy");
  }
}

/** Make buttons of the layers that a sentence names. */
function linked(text) {
  const layers = new Set(state.network.layers.map((one) => one.address));
  return text.split(/(\s+|,(?=\s))/).map((word) => {
    const bare = word.replace(/[.,;'"]+$/, "").replace(/^['"]/, "");
    return layers.has(bare) && bare !== state.layer
      ? [h("button", { class: "link", onclick: () => write({ layer: bare, unit: null }) }, bare), word.slice(word.indexOf(bare) + bare.length)] : word;
  }).flat();
}

function draw(place, found) {
  const patches = h("div");
  const segments = (values, chosen, label, choose) => h("div", { class: "segments", role: "group", "aria-label": label },
    Object.entries(values).map(([key, words]) => h("button", { "aria-pressed": String(key === chosen()), onclick: (event) => {
      choose(key);
      for (const one of event.target.parentNode.children) one.setAttribute("aria-pressed", String(one === event.target));
      show();
    } }, words)));
  const show = () => gallery(patches, found);
  clear(place,
    found.called && h("p", { class: "called" }, "The logit of ", h("em", {}, found.called)),
    h("h3", {}, `In ${found.pictures.toLocaleString("en")} pictures`),
    h("div", { class: "tools" }, segments(ROWS, () => row, "Which pictures", (key) => { row = key; }), segments(WAYS, () => way, "How they are shown", (key) => { way = key; })),
    patches,
    h("h3", {}, "How it answers"), histogram(found), h("p", { class: "words" }, found.answers),
    found.classes.length > 0 && [h("h3", {}, "By class"), classes(found), h("p", { class: "words" }, found.selects)],
    found.similar.length > 0 && [h("h3", {}, "Units that answer like it"), alike(found.similar, "r"),
      h("p", { class: "words quiet" }, `r is the correlation of the answers; among so many units the best by chance would reach ${number(found.chance, 2)}.`)],
    found.parallel.length > 0 && [h("h3", {}, "Units with weights like its own"), alike(found.parallel, "cos")],
    h("h3", {}, "Where it stands"), found.place.map((words) => h("p", { class: "words" }, words)));
  show();
}

function gallery(place, found) {
  if (way === "guided" && row !== "top") row = "top";
  const list = found[row];
  if (!list.length) return void clear(place, h("p", { class: "quiet" }, "No picture is known for this unit."));
  if (way === "guided") return guided(place, found);
  const side = Math.floor(Math.min(96, (place.clientWidth || 304) / 3 - 4));
  clear(place, h("ul", { class: "patches" }, list.map((patch) => h("li", {}, button(patch, way === "whole" ? framed(patch, side) : crop(patch, side)),
    h("span", {}, number(patch.value), " ", h("span", { class: "quiet" }, patch.label || patch.said))))),
  found.dead && h("p", { class: "words" }, "It never fires: these pictures mean nothing."));
}

const button = (patch, picture) => h("button", {
  class: "patch", title: `${patch.name}: ${what(patch)}. Click to look at it.`, "aria-label": `${what(patch)}, ${number(patch.value)}: look at this picture`,
  onclick: () => open(patch.picture),
}, picture);

/** The best patches with what of each counts: a sheet of two rows from the server. */
function guided(place, found) {
  const { exported } = state.session;
  if (exported && !exported.guided) return void clear(place, h("p", { class: "quiet words" }, "What counts in each patch was not exported. ", h("code", {}, exported.live), " shows it."));
  const cells = h("ul", { class: "patches" });
  const side = 96;
  const note = h("p", { class: "words quiet" }, "Working out what counts in each …");
  const picture = new Image();
  const { layer, unit: channel } = state;
  picture.onload = () => {
    if (state.layer !== layer || state.unit !== channel || way !== "guided") return;
    const count = picture.naturalWidth / side;
    clear(cells, Array.from({ length: count }, (_, index) => {
      const canvas = h("canvas", { width: side, height: 2 * side, css: { width: `${side}px`, height: `${2 * side}px` }, "aria-hidden": "true" });
      canvas.getContext("2d").drawImage(picture, index * side, 0, side, 2 * side, 0, 0, side, 2 * side);
      const patch = found.top[index];
      return h("li", {}, patch ? button(patch, canvas) : canvas, h("span", {}, patch && number(patch.value)));
    }));
    note.textContent = "Below each patch guided backprop of this very unit, on its own scale; mid-grey is zero. Where the unit sees much of the picture, the square that holds 90 % of that is cut out.";
  };
  picture.onerror = () => { note.textContent = "This could not be worked out."; };
  picture.src = url("unit/signals.png", { layer, unit: channel, side });
  clear(place, cells, note);
}

function histogram({ histogram: { edges, counts }, border, rectified }) {
  const [wide, tall] = [304, 72];
  const [low, high] = [edges[0], edges.at(-1)];
  const most = Math.max(...counts, 1);
  if (!(high > low)) return h("p", { class: "quiet" }, "One answer to all pictures.");
  const x = (value) => (value - low) / (high - low) * wide;
  const inside = border !== null && border > low && border < high;
  return h("figure", { class: "histogram" },
    s("svg", { viewBox: `0 -2 ${wide} ${tall + 4}`, role: "img", "aria-label": `Histogram of the answers from ${number(low)} to ${number(high)}; at most ${most} pictures in a bin` },
      counts.map((count, index) => count && s("rect", {
        class: border === null || edges[index + 1] > border ? "fires" : "rests",
        x: x(edges[index]) + 0.5, width: Math.max(1, x(edges[index + 1]) - x(edges[index]) - 1), y: tall - count / most * tall, height: count / most * tall,
      }, s("title", {}, `${number(edges[index])} to ${number(edges[index + 1])}: ${count}`))),
      s("path", { class: "axis", d: `M0 ${tall + .5}H${wide}` }),
      inside && rectified && s("path", { class: "border", d: `M${x(border)} -2V${tall + 2}` })),
    h("figcaption", {}, h("span", {}, number(low)), inside && rectified && h("span", { class: "accent" }, `fires above ${number(border)}`), h("span", {}, number(high))));
}

function classes({ classes: list }) {
  const most = Math.max(...list.map(({ mean }) => Math.abs(mean)), 1e-9);
  return h("ul", { class: "means" }, list.map(({ name, mean, pictures }) => h("li", { title: `${pictures} picture${pictures === 1 ? "" : "s"}` },
    h("span", { class: "name" }, name), h("span", { class: "track" }, h("i", { css: { width: `${Math.max(0, mean) / most * 100}%` } })), h("span", { class: "figure" }, number(mean)))));
}

function alike(list, sign) {
  return h("ul", { class: "alike" }, list.map((one) => h("li", {}, h("button", {
    disabled: !has(one.layer), title: one.patch ? what(one.patch) : null, onclick: () => go(one.layer, one.unit),
  }, one.patch && crop(one.patch, 48), h("span", {}, address(one.address), one.called && h("em", {}, ` ${one.called}`), h("small", {}, `${sign} = ${share(one.score)}`))))));
}
