// Starts the page: asks what is served, mounts the panels, ties the address to the state. Draws the head alone.

import { link, listen, read, write } from "./address.js";
import { get } from "./api.js";
import { clear, h } from "./dom.js";
import { on, say, set, state } from "./state.js";
import { keys } from "./help.js";
import { saver } from "./saving.js";

const PANELS = {
  layers: "layers", pictures: "pictures", predictions: "predictions", units: "units", explain: "explain",
  card: "card", map: "map", runs: "runs", arithmetic: "arithmetic", help: "help",
};
const VIEWS = { units: "Units", explain: "Explain", map: "Map", run: "Run" };
const TABS = { picture: "Picture", layers: "Layers", units: "Units", card: "Unit" };

async function start() {
  const status = document.getElementById("status");
  on(["status"], ({ status: text }) => { status.textContent = text; });
  let session, network, lenses;
  try {
    [session, network, lenses] = await Promise.all([get("session"), get("network"), get("lenses")]);
  } catch (error) {
    clear(document.getElementById("page"), h("p", { class: "lost" }, error.message));
    return;
  }
  set({ session, network, lenses });
  if (session.exported?.start && location.hash.length < 3) history.replaceState(null, "", session.exported.start);
  listen((where) => set(settled(where)));
  write(settled(read()), { replace: true });
  head();
  await Promise.all(Object.entries(PANELS).map(([id, name]) => mount(id, name)));
  keys();
  document.body.dataset.ready = "";
}

/** Fill in what an address leaves open, and put right what this network does not have. */
function settled(where) {
  const { session, network } = state;
  const layers = network.layers.filter((one) => units(one) > 0);
  const asked = network.aliases[where.layer] ?? where.layer; // a block goes by the name of the layer that ends it
  const found = layers.find((layer) => layer.address === asked);
  if (where.layer && !found) say(`This network has no layer ${where.layer}.`);
  const layer = found ?? layers.find((one) => one.address === network.start) ?? first(layers, session.exported?.layers ?? session.atlas?.layers);
  const picture = session.pictures.find((one) => one.id === where.picture) ?? session.pictures[0];
  if (where.picture && picture?.id !== where.picture) say("That picture is not here: it was added in another run of the server.");
  const unit = found && where.unit !== null && where.unit < units(layer) ? where.unit : null;
  return { ...where, layer: layer?.address ?? null, unit, picture: picture?.id ?? null };
}

/** Where to begin: half-way down, at a map that is neither an edge detector nor a handful of cells. */
function first(all, told) {
  const known = all.filter(({ address }) => told?.includes(address)); // of these there is more to show
  const layers = known.length ? known : all;
  const maps = layers.filter(({ shape }) => shape.length === 3 && shape[1] * shape[2] > 1);
  const rectified = maps.filter(({ kind }) => /relu|silu|swish|gelu|act/i.test(kind));
  const few = (rectified.length && !known.length ? rectified : maps).filter(({ shape }) => shape[1] <= 28);
  return few[0] ?? rectified[0] ?? maps[0] ?? layers[0];
}

const units = (layer) => layer.units ?? layer.shape[0];

function head() {
  const { session } = state;
  const { network } = session;
  document.title = `${network.name} · Striate`;
  document.getElementById("network").textContent = network.name;
  document.getElementById("facts").textContent =
    `${String(network.input).replaceAll(" x ", " × ")} · ${network.classes.toLocaleString("en")} classes`
    + (session.other ? ` · beside ${session.other.name}` : "")
    + (session.exported ? ` · exported ${session.exported.date}, live by ${session.exported.live}` : "");
  const shown = Object.keys(VIEWS).filter((view) => (session.exported?.views ?? [view]).includes(view) && (view !== "map" || session.atlas) && (view !== "run" || session.epochs?.length));
  on(["view", "layer", "unit", "picture", "lens", "show", "sort", "scale", "other", "options", "target", "epoch"], ({ view }) => {
    clear(document.getElementById("views"), shown.map((one) =>
      h("a", { href: link({ view: one }), "aria-current": one === view ? "page" : null, onclick: () => turn("units") }, VIEWS[one])));
    for (const panel of document.querySelectorAll(".view")) panel.hidden = panel.dataset.view !== view;
    document.body.dataset.view = view;
    tabs();
  });
  clear(document.getElementById("tools"),
    session.other && h("label", { class: "check" },
      h("input", { id: "other", type: "checkbox", checked: state.other, onchange: (event) => write({ other: event.target.checked }) }),
      h("span", {}, "Beside ", h("span", { class: "which" }, session.other.name))),
    saver(),
    h("button", { class: "round", "aria-label": "Keys", title: "Keys (?)", onclick: () => document.getElementById("help").showModal() }, "?"));
  on(["other"], ({ other }) => { if (session.other) document.getElementById("other").checked = other; });
  document.getElementById("skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address is not a place on the page
    document.querySelector("#units [tabindex='0']")?.focus();
  });
}

function tabs() {
  const here = document.body.dataset.tab;
  clear(document.getElementById("tabs"), Object.entries(TABS).map(([tab, name]) =>
    h("button", { "aria-pressed": String(tab === here), onclick: () => { turn(tab); } }, tab === "units" ? VIEWS[state.view] : name)));
}

/** Show a panel where only one has room. */
export function turn(tab) {
  document.body.dataset.tab = tab;
  tabs();
}

async function mount(id, name) {
  const place = document.getElementById(id);
  try {
    const module = await import(`./${name}.js`);
    module.mount(place);
  } catch (error) {
    console.warn(`The panel ${name} is left out: ${error.message}`);
    place.classList.add("absent");
  }
}

start();
