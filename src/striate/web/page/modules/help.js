// The keys of the page: what they do, and the dialog that lists them.

import { write } from "./address.js";
import { work } from "./arithmetic.js";
import { clear, h } from "./dom.js";
import { step } from "./layers.js";
import { turn } from "./main.js";
import { turnOver, uncover } from "./pictures.js";
import { state } from "./state.js";
import { cycle, enter, resize } from "./units.js";

const DEEDS = [
  ["s", "Cells show the next thing: activations, patches, filters", cycle],
  ["x", "One scale for all units, or each its own", () => write({ scale: state.scale === "own" ? "shared" : "own" }, { replace: true })],
  ["+", "Larger cells", () => resize(1)],
  ["-", "Smaller cells", () => resize(-1)],
  ["[", "Layer before", () => step(-1)],
  ["]", "Layer after", () => step(1)],
  [",", "Picture before", () => turnOver(-1)],
  [".", "Picture after", () => turnOver(1)],
  ["g", "Into the grid of units; there the arrow keys move, Enter chooses", () => { turn("units"); write({ view: "units" }); enter(); }],
  ["l", "Into the layers; there the arrow keys move and fold, Enter chooses", () => { turn("layers"); document.querySelector("#layers [tabindex='0']")?.focus(); }],
  ["i", "Onto the picture; there the arrow keys move a place, Enter covers a patch", () => { turn("picture"); document.querySelector("#pictures .pad")?.focus(); }],
  ["a", "The arithmetic of the chosen unit at the place on the picture", work],
  ["1", "Units", () => write({ view: "units" })],
  ["2", "Explain", () => write({ view: "explain" })],
  ["3", "Map", () => state.session.atlas && write({ view: "map" })],
  ["4", "Run", () => state.session.epochs?.length && write({ view: "run" })],
  ["Escape", "Take the cover from the picture", uncover],
];
const NAMES = { Escape: "Esc", "-": "−" };

export function mount(dialog) {
  clear(dialog,
    h("header", {}, h("h2", {}, "Keys"), h("button", { class: "round", "aria-label": "Close", onclick: () => dialog.close() }, "×")),
    h("dl", {}, [...DEEDS.map(([key, words]) => [key, words]), ["?", "These keys"]].map(([key, words]) =>
      h("div", {}, h("dt", {}, h("kbd", {}, NAMES[key] ?? key)), h("dd", {}, words)))),
    h("p", { class: "quiet" }, "Point at a map and the picture shows what the unit sees there; point at the picture and every map shows the place. "
      + "A click on a map chooses its unit; a click on the chosen unit's map opens the arithmetic of that value. The address bar holds everything: send it, and the same view opens."),
    state.session.exported && h("p", { class: "quiet" }, `These are files of ${state.session.exported.date}, with no network behind them. Pictures of your own, other layers, classes and options, `
      + "how far to believe a map, and pictures still to be made need it: ", h("code", {}, state.session.exported.live), "."));
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); }); // beside it
}

/** Listen to the keys, wherever the focus is, except where text is written. */
export function keys() {
  const deeds = new Map(DEEDS.map(([key, , deed]) => [key, deed]));
  deeds.set("=", deeds.get("+"));
  deeds.set("?", () => document.getElementById("help").showModal());
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]") || event.target.closest?.("input:not([type=checkbox]):not([type=range]), select, textarea")) return;
    const deed = deeds.get(event.key);
    if (!deed) return;
    event.preventDefault();
    deed();
  });
}
