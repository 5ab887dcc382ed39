// What the cells of a layer's units can show, and why not. Draws nothing.

import { link } from "./address.js";
import { address, h } from "./dom.js";
import { state } from "./state.js";

export const SHOWS = { activations: "Activations", patches: "Best patches", synthesised: "Synthesised", filters: "Filters" };

/** What the cells of this layer can show. */
export const offered = () => Object.keys(SHOWS).filter((kind) => !lacking(kind));

/** Why the cells of this layer cannot show this, or nothing where they can. */
export function lacking(kind) {
  const { session, network, layer } = state;
  const { exported } = session;
  if (exported && !exported.layers.includes(layer)) return ["This layer was not exported. There are ", links(exported.layers), ". All of them are shown by ", h("code", {}, exported.live), "."];
  if (kind === "patches") {
    if (!session.atlas) return "Best patches come from an atlas of a data set: striate serve … --atlas ATLAS.";
    if (!session.atlas.layers.includes(layer)) return ["The atlas has not looked at this layer. It holds ", links(session.atlas.layers), "."];
  }
  if (kind === "filters" && !/conv|linear/i.test(network.layers.find((one) => one.address === layer)?.kind ?? "")) return "This layer has no kernels of its own: a convolution has.";
  if (kind === "synthesised" && exported && !session.sheets.includes(layer)) return "No pictures were made for the units of this layer.";
  if (kind === "synthesised" && !session.lenses.includes("synthesize")) return "This server makes no pictures.";
  return null;
}

/** On which scale the cells are: an export has one. */
export const scaled = () => (state.session.exported ? state.session.exported.scale : state.scale);

const links = (layers) => layers.map((one, index) => [index ? ", " : "", h("a", { href: link({ layer: one, unit: null }) }, address(one))]);
