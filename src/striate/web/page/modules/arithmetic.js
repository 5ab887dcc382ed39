// One value of a map worked out: window times kernel, channel by channel, and the sum. A dialog; the arrows slide the kernel.

import { write } from "./address.js";
import { get, url } from "./api.js";
import { address, clear, h, number, s, shape } from "./dom.js";
import { on, say, set, state } from "./state.js";

const SHOWN = 6; // channels whose numbers are written out
const COLOURS = ["red", "green", "blue"];

let dialog;

export function mount(node) {
  dialog = node;
  dialog.addEventListener("close", () => set({ opened: null }));
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("keydown", press);
  on(["opened"], ({ opened }) => {
    if (!opened) return;
    show(opened);
  });
}

/** Open the arithmetic of the chosen unit where the picture is pointed at, in the middle of its map unless it is. */
export function work() {
  const { layer, unit, place, network } = state;
  const [, high = 1, wide = 1] = network.layers.find((one) => one.address === layer)?.shape ?? [];
  if (unit === null) return say("Choose a unit first.");
  set({ opened: { layer, unit, row: place?.row ?? high >> 1, col: place?.col ?? wide >> 1 } });
}

async function show(opened) {
  const { layer, unit, row = 0, col = 0, other = false } = opened;
  const fresh = !dialog.open;
  if (fresh) {
    clear(dialog, h("p", { class: "quiet" }, "Working it out …"));
    dialog.showModal();
  }
  try {
    const found = await get("arithmetic", { layer, unit, row, col, picture: state.picture, other, epoch: state.epoch, shown: SHOWN }, { lane: "arithmetic", keep: true });
    if (found && state.opened === opened) draw(found, opened);
  } catch (error) {
    if (state.opened === opened) clear(dialog, head(address(`${layer}:${unit}@${row},${col}`)), h("p", {}, offers(error.message)));
  }
}

const head = (title) => h("header", {}, h("h2", {}, title), h("button", { class: "round", "aria-label": "Close", title: "Close (Esc)", onclick: () => dialog.close() }, "×"));

/** The layers that a refusal names become buttons that go there. */
function offers(text) {
  const layers = new Set(state.network.layers.map((one) => one.address));
  return text.split(/(\s+)/).map((word) => {
    const bare = word.replace(/[.,;'"]+$/, "").replace(/^['"]/, "");
    return layers.has(bare) && bare !== state.opened.layer
      ? [h("button", { class: "link", onclick: () => { dialog.close(); write({ layer: bare, unit: null }); } }, bare), word.slice(word.indexOf(bare) + bare.length)] : word;
  }).flat();
}

function draw(found, { layer }) {
  const here = state.network.layers.find((one) => one.address === layer);
  const position = found.address.match(/@(\d+),(\d+)$/);
  const [, tall, wide] = here?.shape ?? [];
  const [largestValue, largestKernel, largestProduct] = found.largest;
  const small = found.window[0] * found.window[1] === 1;
  const held = document.activeElement?.id;
  const parts = found.parts.map((part, index) => (small ? line(part, found) : row(part, index, found, { largestValue, largestKernel, largestProduct })));
  const left = found.channels - found.parts.length;
  clear(dialog, head(address(found.address)),
    h("p", {}, found.sentence),
    h("div", { class: "working" },
      h("div", { class: "where" }, place(found), position && h("div", { class: "slide", role: "group", "aria-label": "Slide the window" },
        [["↑", -1, 0, "up"], ["←", 0, -1, "left"], ["→", 0, 1, "right"], ["↓", 1, 0, "down"]].map(([sign, down, right, words]) => {
          const [y, x] = [Number(position[1]) + down, Number(position[2]) + right];
          return h("button", { id: `slide-${words}`, class: `round ${words}`, "aria-label": `Slide ${words}`, disabled: y < 0 || x < 0 || y >= tall || x >= wide, onclick: () => slide(down, right) }, sign);
        })),
        h("p", { class: "quiet words" }, `Input ${shape(found.input)}, rows ${ends(found.rows)}, columns ${ends(found.columns)}`
          + (found.folded ? `; the batch normalisation is folded into the kernel of ${found.folded}.` : "."))),
      h("table", { class: small ? "sums small" : "sums" },
        h("thead", {}, h("tr", {}, headings(found, small).map((words) => h("th", { scope: "col" }, words)))),
        h("tbody", {}, parts,
          left > 0 && total(`${left} other channel${left === 1 ? "" : "s"}`, found.rest, "+"),
          found.bias !== null && total("bias", found.bias, "+"),
          total(found.parts[0].kernel ? "sum" : "largest", found.sum, "=", "whole"),
          found.steps.map((step) => total(step.name, step.value, "→")),
          total("the network's own value", found.value, "", "own")))));
  (held?.startsWith("slide") ? document.getElementById(held) : dialog.querySelector(".round"))?.focus();
}

const headings = (found, small) => (found.parts[0].kernel
  ? ["Channel", small ? "value" : "window", "", small ? "weight" : "kernel", "", small ? "" : "products", "", "adds"] : ["Channel", "window", "", "", "", "", "", "largest"]);

function row(part, index, found, { largestValue, largestKernel, largestProduct }) {
  const name = found.colour ? COLOURS[part.channel] : part.channel;
  return h("tr", {}, h("th", { scope: "row" }, String(name)),
    h("td", {}, matrix(part.values, largestValue, found.padding)), h("td", { class: "sign" }, part.kernel && "×"),
    h("td", {}, part.kernel && matrix(part.kernel, largestKernel)), h("td", { class: "sign" }, part.kernel && "="),
    h("td", {}, part.products && matrix(part.products, largestProduct, found.padding)), h("td", { class: "sign" }, part.kernel && (index ? "+" : "")),
    h("td", { class: "figure" }, number(part.sum)));
}

function line(part, found) {
  return h("tr", {}, h("th", { scope: "row" }, String(found.colour ? COLOURS[part.channel] : part.channel)),
    h("td", { class: "figure" }, number(part.values[0][0])), h("td", { class: "sign" }, part.kernel && "×"),
    h("td", { class: "figure" }, part.kernel && number(part.kernel[0][0])), h("td", { class: "sign" }, "="), h("td"), h("td"),
    h("td", { class: "figure" }, number(part.sum)));
}

const total = (words, value, sign, kind = "") => h("tr", { class: `total ${kind}` },
  h("th", { scope: "row", colspan: 6 }, words), h("td", { class: "sign" }, sign), h("td", { class: "figure" }, number(value, 4)));

/** Numbers in cells coloured by size: accent above zero, partner below, on one scale; hatched where there is padding. */
function matrix(rows, largest, padding) {
  const high = rows.length;
  const wide = rows[0].length;
  const written = high * wide <= 49;
  const write = wide < 5 ? (value) => number(value, 2) : short(largest);
  return h("span", { class: !written ? "matrix dense" : wide < 5 ? "matrix" : "matrix wide", role: "img", "aria-label": `${high} by ${wide} numbers: ${written ? rows.map((one) => one.map((value) => number(value, 2)).join(" ")).join("; ") : "too many to read out"}`, css: { "--columns": wide } },
    rows.flatMap((line, y) => line.map((value, x) => h("span", {
      class: padding?.[y]?.[x] ? "cell padding" : value < 0 ? "cell below" : "cell", title: number(value, 4), css: { "--part": `${Math.round(Math.min(1, Math.abs(value) / (largest || 1)) * 100)}%` },
    }, written ? write(value) : ""))));
}

/** Write numbers so short that three wide windows stand beside each other: two digits of the largest, all alike. */
function short(largest) {
  const after = Math.max(0, Math.min(4, 1 - Math.floor(Math.log10(largest || 1))));
  return (value) => (value === 0 ? "0" : value.toFixed(after).replace("-", "−"));
}

/** The picture as the network sees it, with what the value sees of it. */
function place(found) {
  const size = state.network?.input ?? state.session.network.input;
  const [, height, width] = String(size).split(/\s*[x×]\s*/).map(Number);
  const [top, left, bottom, right] = found.field ?? [0, 0, 0, 0];
  const box = { x: left, y: top, width: right - left + 1, height: bottom - top + 1 };
  return h("span", { class: "framed seen" }, h("img", { src: url(`pictures/${state.picture}/input.png`, { other: state.opened.other }), alt: "" }),
    found.field && s("svg", { class: "over", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" }, s("rect", { class: "halo", ...box }), s("rect", { class: "box", ...box })));
}

const ends = (list) => (list.length === 1 ? String(list[0]) : `${list[0]} to ${list.at(-1)}`);

function slide(down, right) {
  const { opened } = state;
  if (!opened) return;
  const shape = state.network.layers.find((one) => one.address === opened.layer)?.shape ?? [];
  const [row, col] = [(opened.row ?? 0) + down, (opened.col ?? 0) + right];
  if (row < 0 || col < 0 || row >= (shape[1] ?? 1) || col >= (shape[2] ?? 1)) return;
  set({ opened: { ...opened, row, col } });
}

function press(event) {
  const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
  event.stopPropagation(); // the page's keys rest while the dialog is open
  if (!by) return;
  slide(...by);
  event.preventDefault();
}
