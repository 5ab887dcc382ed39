// The units of a layer: what their cells show, in which order and how large. The grids themselves stand in grid.js.

import { write } from "./address.js";
import { address, clear, h, number } from "./dom.js";
import { SHOWS, offered, scaled } from "./contents.js";
import { Grid, signed } from "./grid.js";
import { on, state } from "./state.js";
import { make, stop } from "./synthesised.js";

const SIDES = [32, 48, 64, 88, 120, 168, 232]; // px of a cell's longer side

const grids = [];
Grid.side = Number(recall("side")) || Grid.side;

export function mount(panel) {
  const head = h("header", { class: "bar" });
  const pair = h("div", { class: "grids" });
  clear(panel, head, pair);
  on(["other", "session"], ({ other, session }) => {
    grids.splice(0).forEach((grid) => grid.stop());
    const both = other && session?.other;
    grids.push(new Grid(false, both ? session.network.name : null));
    if (both) grids.push(new Grid(true, session.other.name));
    clear(pair, grids.map((grid) => grid.node));
  });
  on(["layer", "picture", "show", "scale", "sort", "sprite", "unit", "network", "view", "making"], () => bar(head));
}

/** Show the next kind of cell content. */
export function cycle() {
  const kinds = offered();
  write({ show: kinds[(kinds.indexOf(state.show) + 1) % kinds.length] }); // from what is not offered, to the first
}

/** Make the cells larger or smaller by one step. */
export function resize(by) {
  const at = SIDES.findIndex((one) => one >= Grid.side);
  Grid.side = SIDES[Math.max(0, Math.min(SIDES.length - 1, at + by))];
  remember("side", Grid.side);
  for (const grid of grids) grid.lay();
}

/** Put the keyboard into the grid. */
export const enter = () => grids[0]?.scroller.focus();

// --- the line above

function bar(head) {
  const { network, layer, sprite, show } = state;
  const here = network?.layers.find((one) => one.address === layer);
  if (!here) return;
  const info = sprite?.info;
  const sorts = [["number", "number"], (info?.maxima ?? info?.values) && ["activation", "strongest first"], info?.means && ["mean", "largest mean first"], info?.selectivity && ["selectivity", "most selective first"]].filter(Boolean);
  const count = info?.channels ?? here.units ?? here.shape[0];
  const focused = head.contains(document.activeElement) ? document.activeElement.id : null;
  clear(head,
    h("h2", {}, address(layer), h("small", {}, `${count.toLocaleString("en")} unit${count === 1 ? "" : "s"}${info?.height ? `, ${info.height} × ${info.width}` : ""}`)),
    show === "synthesised" && !state.session.exported ? maker() : legend(info),
    h("div", { class: "tools" },
      h("div", { class: "segments", role: "group", "aria-label": "What the cells show" }, offered().map((kind) =>
        h("button", { id: `show-${kind}`, "aria-pressed": String(kind === show), onclick: () => write({ show: kind }) }, SHOWS[kind]))),
      h("label", {}, "Order", h("select", { id: "sort", onchange: (event) => write({ sort: event.target.value }, { replace: true }) },
        sorts.map(([key, words]) => h("option", { value: key, selected: key === state.sort }, words)))),
      ["activations", "filters"].includes(show) && !state.session.exported && h("label", { class: "check", title: "Each unit on a scale of its own, instead of one for all" }, h("input", {
        id: "scale", type: "checkbox", checked: state.scale === "own",
        onchange: (event) => write({ scale: event.target.checked ? "own" : "shared" }, { replace: true }),
      }), "own scales"),
      h("div", { class: "segments", role: "group", "aria-label": "Size of the cells" },
        h("button", { id: "smaller", "aria-label": "Smaller cells", onclick: () => resize(-1) }, "−"),
        h("button", { id: "larger", "aria-label": "Larger cells", onclick: () => resize(1) }, "+"))));
  if (focused) document.getElementById(focused)?.focus();
}

/** What starts and stops the making of pictures. */
function maker() {
  const { making } = state;
  if (!making) return h("button", { id: "make", class: "main", onclick: () => make(grids[0].inSight(), false) }, "Make those in sight");
  return h("span", { class: "going" }, h("progress", { max: making.total, value: making.done + (making.part ?? 0), "aria-label": "Pictures made" }),
    `${making.done} of ${making.total}`, h("button", { id: "make", class: "small", disabled: making.over, onclick: stop }, "Stop"));
}

function legend(info) {
  if (!info || info.low === undefined || info.low === null || info.low === info.high || state.show === "patches") return null;
  if (scaled() === "own") return h("span", { class: "scale" }, "each unit from its least to its greatest");
  return h("span", { class: `scale${signed(info) ? " diverging" : ""}` }, number(info.low), h("i", {}), number(info.high));
}

// what a person set for this browser alone; private windows may refuse
function recall(key) {
  try {
    return localStorage.getItem(`striate ${key}`);
  } catch {
    return null;
  }
}

function remember(key, value) {
  try {
    localStorage.setItem(`striate ${key}`, value);
  } catch {
    // then it lasts as long as the page
  }
}
