// The layer map: the network as it is, top to bottom as data flows. Widths follow the square root of the channels,
// heights the logarithm of the map's side; stages fold; branches run at the left; at the right what a unit sees.

import { write } from "./address.js";
import { address, clear, h, s, shape, short } from "./dom.js";
import { turn } from "./main.js";
import { on, say, state } from "./state.js";

const ROW = 22; // least height of a row, px
const CENTRE = 74; // where the blocks stand, px from the left
const WIDEST = 72;
const LANES = 30; // room for what skips over layers, px
const LONG = 40; // layers from which a stage folds once more, by block
const MANY = 60; // ways over layers from which they are drawn as one
const NAME = 18; // characters of a name that fit

const open = new Set();
let items = [];
let active = 0;

export function mount(panel) {
  const tree = h("div", { class: "tree", role: "tree", "aria-label": "Layers", onkeydown: press });
  const foot = h("div", { class: "foot" });
  clear(panel, h("div", { class: "scroll" }, tree), foot);
  on(["network", "layer"], (now, changed) => {
    if (!now.network) return;
    if (changed.has("layer") || changed.has("network")) reveal();
    draw(tree);
    describe(foot);
    tree.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  });
}

/** Choose the layer before or after the present one. */
export function step(by) {
  const layers = state.network.layers.filter(({ units }) => units !== 0);
  const at = layers.findIndex((one) => one.address === state.layer);
  const next = layers[Math.max(0, Math.min(layers.length - 1, at + by))];
  if (next) choose(next.address);
}

const choose = (layer) => {
  const found = state.network.layers.find((one) => one.address === layer);
  if (found?.units === 0) say(`${layer} gives neither maps nor a vector: there are no units to look at.`);
  else write({ layer, unit: null });
  if (matchMedia("(max-width: 900px)").matches) turn("units"); // one panel at a time: go where its units are
};

// --- what there is to show

/** The network as a tree of two or three levels: stages, in long ones blocks, layers. */
function outline() {
  const { layers, stages } = state.network;
  const found = [];
  for (const stage of stages) {
    const inside = layers.filter((one) => one.stage === stage.name);
    if (inside.length < 2) {
      found.push(...inside.map((layer) => ({ layer, level: 1 })));
      continue;
    }
    const parts = blocks(inside, 2);
    found.push({ name: stage.name, key: stage.name, level: 1, inside, parts });
  }
  return found;
}

/** Cut what is long where the names branch: blocks.3.0, blocks.3.1, ...; and again what is still long. */
function blocks(inside, level, least = 0) {
  if (inside.length <= LONG) return inside.map((layer) => ({ layer, level }));
  const words = inside.map(({ address: name }) => name.split("."));
  let depth = least;
  while (words.every((one) => one.length > depth + 1 && one[depth] === words[0][depth])) depth += 1;
  const found = [];
  inside.forEach((layer, index) => {
    const name = words[index].slice(0, depth + 1).join(".");
    const last = found.at(-1);
    if (last?.name === name) last.inside.push(layer);
    else found.push({ name, key: `${name}@${layer.order ?? index}`, level, inside: [layer] });
  });
  if (found.length === inside.length || found.length === 1) return inside.map((layer) => ({ layer, level })); // nothing branches
  return found.map((block) => (block.inside.length > 1 ? { ...block, parts: blocks(block.inside, level + 1, depth + 1) } : { layer: block.inside[0], level }));
}

/** Unfold whatever hides the layer shown. */
function reveal() {
  const seek = (parts) => {
    for (const part of parts) {
      if (!part.parts || !part.inside.some((one) => one.address === state.layer)) continue;
      open.add(part.key);
      seek(part.parts);
    }
  };
  seek(outline());
}

function visible(parts) {
  return parts.flatMap((part) => (part.parts && open.has(part.key) ? [part, ...visible(part.parts)] : [part]));
}

// --- drawing

function draw(tree) {
  const { network } = state;
  items = visible(outline());
  const most = Math.max(...network.layers.map(({ shape: [channels] }) => channels));
  const rows = [];
  const at = new Map(); // address -> row that stands for it
  let top = 6;
  items.forEach((item, index) => {
    const sizes = (item.layer ?? item.inside.at(-1)).shape;
    const side = sizes.length === 3 ? Math.sqrt(sizes[1] * sizes[2]) : 1;
    const folder = Boolean(item.parts);
    const opened = folder && open.has(item.key);
    const width = Math.max(3, WIDEST * Math.sqrt(sizes[0] / most));
    const height = 3 + 2.1 * Math.log2(Math.max(1, side));
    const room = opened ? ROW : Math.max(ROW, height + (folder ? 10 : 6));
    rows.push({ item, index, folder, opened, sizes, width, height, top, room, middle: top + room / 2 });
    top += room;
    if (!opened) for (const { address: name } of item.inside ?? [item.layer]) at.set(name, index);
  });
  const graph = s("svg", { width: CENTRE + WIDEST / 2 + 4, height: top + 6, "aria-hidden": "true" },
    wires(rows, at), rows.filter((row) => !row.opened).map((row) => block(row)));
  active = Math.max(0, items.findIndex((item) => item.layer?.address === state.layer));
  const focused = tree.contains(document.activeElement);
  clear(tree, graph, rows.map((row) => line(row, tree)));
  tree.style.height = `${top + 6}px`;
  if (focused) tree.querySelector("[tabindex='0']")?.focus();
}

function block({ item, folder, width, height, middle }) {
  const selected = item.layer?.address === state.layer || (folder && item.inside.some((one) => one.address === state.layer));
  const kind = /conv/i.test(item.layer?.kind ?? "conv") ? "" : " light";
  const place = { x: CENTRE - width / 2, y: middle - height / 2, width, height, rx: Math.min(1.5, height / 2) };
  const found = s("g", { class: `block${kind}${selected ? " selected" : ""}` });
  if (folder) for (const back of [4, 2]) found.append(s("rect", { ...place, x: place.x + back, y: place.y - back, class: "behind" }));
  found.append(s("rect", place));
  return found;
}

function wires(rows, at) {
  const pairs = new Map();
  for (const [from, to] of state.network.edges) {
    const [above, below] = [from === "" ? -1 : at.get(from), at.get(to)];
    if (above === undefined || below === undefined || above === below) continue;
    const [first, last] = above < below ? [above, below] : [below, above];
    const own = from === state.layer || to === state.layer;
    const key = `${first},${last}`;
    pairs.set(key, { first, last, own: own || pairs.get(key)?.own });
  }
  const skipping = [];
  const found = [];
  const inputs = new Map();
  for (const pair of pairs.values()) {
    inputs.set(pair.last, (inputs.get(pair.last) ?? 0) + 1);
    if (next(rows, pair.first) === pair.last) {
      const start = pair.first < 0 ? 0 : rows[pair.first].middle;
      found.push(s("path", { class: `wire${pair.own ? " own" : ""}`, d: `M${CENTRE} ${start}V${rows[pair.last].middle}` }));
    } else skipping.push(pair);
  }
  if (skipping.length > MANY) {
    const all = skipping.splice(0);
    found.push(bundle(rows, all.filter(({ own }) => !own), false), bundle(rows, all.filter(({ own }) => own), true));
  }
  // the shortest run next to the blocks; those that overlap take lanes further out
  skipping.sort((one, two) => (one.last - one.first) - (two.last - two.first));
  const lanes = [];
  for (const pair of skipping) {
    let lane = lanes.findIndex((taken) => taken.every((one) => pair.last <= one.first || pair.first >= one.last));
    if (lane < 0) lane = lanes.push([]) - 1;
    lanes[lane].push(pair);
    pair.lane = lane;
  }
  const apart = Math.min(6, LANES / Math.max(1, lanes.length));
  for (const { first, last, lane, own } of skipping) {
    const x = CENTRE - WIDEST / 2 - 4 - apart * lane;
    const [start, end] = [first < 0 ? 2 : rows[first].middle, rows[last].middle];
    const bend = Math.min(4, (end - start) / 2);
    found.push(s("path", {
      class: `wire skip${own ? " own" : ""}`,
      d: `M${CENTRE} ${start}H${x + bend}q${-bend} 0 ${-bend} ${bend}V${end - bend}q0 ${bend} ${bend} ${bend}H${CENTRE}`,
    }));
  }
  const merges = [...inputs].filter(([, count]) => count > 1).map(([index]) => {
    const { middle, width, height, folder } = rows[index];
    if (folder) return null;
    return s("circle", { class: "merge", cx: CENTRE - width / 2 - 1, cy: middle, r: Math.min(3, 1 + height / 4) });
  });
  return s("g", {}, found, merges);
}

/** Draw ways that would fill the margin (everything into everything) as one trunk with branches. */
function bundle(rows, pairs, own) {
  const x = CENTRE - WIDEST / 2 - (own ? 10 : 4);
  const middle = (index) => (index < 0 ? 2 : rows[index].middle);
  const trunks = [];
  for (const { first, last } of [...pairs].sort((one, two) => one.first - two.first)) {
    const trunk = trunks.at(-1);
    if (trunk && first < trunk.last) trunk.last = Math.max(trunk.last, last);
    else trunks.push({ first, last });
  }
  const branches = new Set(pairs.flatMap(({ first, last }) => [first, last]));
  const lines = [...trunks.map(({ first, last }) => `M${x} ${middle(first)}V${middle(last)}`), ...[...branches].map((index) => `M${x} ${middle(index)}H${CENTRE}`)];
  return s("path", { class: `wire skip${own ? " own" : ""}`, d: lines.join("") });
}

/** The row that stands below another, headings of what is unfolded left out. */
function next(rows, index) {
  let below = index + 1;
  while (rows[below]?.opened) below += 1;
  return below;
}

function line(row, tree) {
  const { item, index, folder, opened, sizes, top, room } = row;
  const chosen = item.layer?.address === state.layer;
  const name = folder ? item.name : item.layer.address;
  const words = folder
    ? [h("span", { class: "twist", "aria-hidden": "true" }, opened ? "▾" : "▸"), h("b", {}, tail(name.replaceAll(" x ", " × "))), h("small", {}, `(${item.inside.length})`)]
    : [h("code", {}, tail(name))];
  const last = item.layer ?? item.inside.at(-1);
  const node = h("div", {
    class: `layer level${item.level}${folder ? " fold" : ""}`,
    role: "treeitem",
    "aria-level": item.level,
    "aria-expanded": folder ? String(opened) : null,
    "aria-selected": folder ? null : String(chosen),
    "aria-label": folder ? `${name}, ${item.inside.length} layers` : `${name}, ${last.kind}, ${shape(sizes)}${sees(last)}`,
    tabindex: index === active ? 0 : -1,
    title: folder ? `${name}: ${item.inside.length} layers, ends at ${shape(sizes)}` : `${name}\n${last.kind} · ${shape(sizes)}${sees(last)}`,
    css: { top: `${top}px`, height: `${room}px` },
    onclick: () => (folder ? fold(item, tree) : choose(name)),
  }, ...words, opened ? null : ruler(last));
  node.dataset.index = index;
  return node;
}

/** The end of a name that is too long, cut at a dot where one is near. */
function tail(name) {
  if (name.length <= NAME) return name;
  const end = name.slice(1 - NAME);
  const dot = end.indexOf(".");
  return `…${dot >= 0 && dot < 6 ? end.slice(dot + 1) : end}`;
}

const sees = ({ field }) =>
  !field ? "" : field.size ? `, sees ${field.size[0] === field.size[1] ? field.size[0] : shape(field.size)} px${field.status === "exact" ? "" : ` (${field.status})`}` : `, sees: ${field.status}`;

/** How much of the picture one unit sees, as a bar on a track that is the picture. */
function ruler({ field }) {
  const [, height] = state.session.network.input.split(/\s*[x×]\s*/).map(Number);
  const whole = field?.status === "whole input";
  const size = whole ? height : field?.size?.[0];
  const share = size ? Math.max(0.03, Math.min(1, size / height)) : 0;
  return h("span", { class: `ruler${size > height || whole ? " whole" : ""}`, "aria-hidden": "true" }, h("i", { css: { width: `${100 * share}%` } }));
}

function describe(foot) {
  const layer = state.network.layers.find((one) => one.address === state.layer);
  if (!layer) return void clear(foot);
  const { field } = layer;
  const facts = [
    ["kind", layer.kind],
    ["output", shape(layer.shape)],
    ["sees", !field ? "unknown" : field.size ? `${shape([...new Set(field.size)])} px${field.status === "exact" ? "" : `, ${field.status}`}` : field.status],
    ["parameters", layer.parameters ? short(layer.parameters) : null],
    ["mult-adds", layer.macs ? short(layer.macs) : null],
  ];
  clear(foot, h("p", {}, address(layer.address)), h("dl", {}, facts.filter(([, value]) => value).map(([name, value]) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, value)))));
}

// --- keys

function fold(item, tree) {
  if (!open.delete(item.key)) open.add(item.key);
  const index = items.indexOf(item);
  draw(tree);
  focus(tree, index);
}

function focus(tree, index) {
  const nodes = tree.querySelectorAll(".layer");
  const to = Math.max(0, Math.min(nodes.length - 1, index));
  for (const node of nodes) node.tabIndex = -1;
  nodes[to].tabIndex = 0;
  nodes[to].focus();
  active = to;
}

function press(event) {
  const tree = event.currentTarget;
  const index = Number(event.target.closest(".layer")?.dataset.index ?? active);
  const item = items[index];
  const opened = item.parts && open.has(item.key);
  const deeds = {
    ArrowDown: () => focus(tree, index + 1),
    ArrowUp: () => focus(tree, index - 1),
    Home: () => focus(tree, 0),
    End: () => focus(tree, items.length - 1),
    ArrowRight: () => (item.parts && !opened ? fold(item, tree) : focus(tree, index + 1)),
    ArrowLeft: () => {
      if (opened) return fold(item, tree);
      const above = items.slice(0, index).findLastIndex((one) => one.level < item.level);
      if (above >= 0) focus(tree, above);
    },
    Enter: () => (item.parts ? fold(item, tree) : choose(item.layer.address)),
    " ": () => (item.parts ? fold(item, tree) : choose(item.layer.address)),
  };
  if (!deeds[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  event.stopPropagation();
  deeds[event.key]();
}
