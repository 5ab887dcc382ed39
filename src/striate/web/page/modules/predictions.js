// What the network says of the picture, as a sentence and as bars; what covering a patch changes. Draws alone.

import { write } from "./address.js";
import { get } from "./api.js";
import { clear, h, share } from "./dom.js";
import { on, say, set, state } from "./state.js";

const FEW = 3; // classes of each, where two networks stand below each other

export function mount(panel) {
  const sentence = h("p", { class: "sentence" });
  const list = h("div", { class: "answers" });
  const change = h("p", { class: "change", "aria-live": "polite" });
  clear(panel, sentence, list, change);
  panel.style.setProperty("--classes", Math.min(5, state.session.network.classes));
  on(["picture", "epoch", "other", "session"], load);
  on(["occluded", "target", "predictions"], cover);
  on(["predictions", "target", "covered", "otherPredictions"], () => draw(sentence, list, change));
}

async function load({ picture, other, session, epoch }) {
  if (!picture) return;
  set({ covered: null });
  const ask = (beside) => get("predictions", { picture, top: 5, other: beside, epoch: beside ? null : epoch }, { lane: `predictions ${beside}`, keep: true });
  try {
    const [own, beside] = await Promise.all([ask(false), other && session.other ? ask(true) : null]);
    if (own) set({ predictions: { picture, classes: own.classes }, otherPredictions: beside });
  } catch (error) {
    set({ predictions: null });
    say(error.message);
  }
}

/** Ask again with the patch covered; a newer click takes the place of this one. */
async function cover({ occluded, picture, predictions }) {
  if (!occluded || !predictions) return void set({ covered: null });
  const { x, y, size } = occluded;
  if (state.covered?.key === key()) return;
  const asked = key();
  try {
    const found = await get("occlude", { picture, x: x.toFixed(4), y: y.toFixed(4), size, target: subject()?.address, epoch: state.epoch }, { lane: "occlude" });
    if (!found || asked !== key()) return;
    set({ covered: { ...found, key: asked } });
    if (found.box && !occluded.box && state.occluded === occluded) set({ occluded: { ...occluded, box: found.box } });
  } catch (error) {
    say(error.message);
  }
}

const key = () => (state.occluded ? `${state.picture} ${state.occluded.x} ${state.occluded.y} ${state.target} ${state.epoch}` : "");

/** The class in question: that of the address, or what the network says first. */
export function subject() {
  const { target, predictions, session } = state;
  const chosen = /^class:(\d+)$/.exec(target ?? "");
  const index = chosen ? Number(chosen[1]) : predictions?.classes[0]?.index;
  if (index === undefined) return null;
  return { index, name: session.network.class_names?.[index] ?? `class ${index}`, address: `class:${index}` };
}

function draw(sentence, list, change) {
  const { predictions, otherPredictions, covered, session } = state;
  if (!predictions) return;
  const [first, second] = predictions.classes;
  clear(sentence, "It says ", h("em", {}, first.name), ` (${share(first.probability)})`,
    second && second.probability >= 0.005 && [", then ", h("em", {}, second.name), ` (${share(second.probability)})`], ".");
  const both = otherPredictions && session.other;
  clear(list,
    both && h("h3", {}, session.network.name), bars(predictions.classes.slice(0, both ? FEW : undefined), covered),
    both && h("h3", {}, session.other.name), both && bars(otherPredictions.classes.slice(0, FEW), null));
  const about = subject();
  clear(change, covered && about ? effect(covered, about) : h("span", { class: "quiet" }, "Click on the picture to cover a patch."));
}

function effect({ drop, before, after }, about) {
  const was = before?.find(({ index }) => index === about.index)?.p;
  const is = after?.find(({ index }) => index === about.index)?.p;
  const lost = was !== undefined && is !== undefined ? was - is : drop;
  if (lost === undefined || lost === null || Math.abs(lost) < 0.005) return ["Covering this patch hardly changes ", h("em", {}, about.name), "."];
  return [`Covering this patch ${lost > 0 ? "lowers" : "raises"} `, h("em", {}, about.name), ` by ${Math.abs(lost).toFixed(2)}.`];
}

function bars(classes, covered) {
  const about = subject();
  const after = new Map((covered?.after ?? []).map((one) => [one.index, one.p]));
  return h("ul", { class: "bars" }, classes.map(({ index, name, probability, logit }) => {
    const now = after.get(index) ?? probability;
    const chosen = index === about?.index;
    return h("li", {}, h("button", {
      class: chosen ? "chosen" : null, "aria-pressed": String(chosen), title: `${name}: logit ${logit?.toFixed(2) ?? "unknown"}. Explain this class`,
      onclick: () => write({ target: `class:${index}` }),
    },
    h("span", { class: "name" }, name),
    h("span", { class: "track" },
      h("i", { css: { width: `${100 * now}%` } }),
      covered && after.has(index) && h("b", { css: { left: `${100 * probability}%` } })),
    h("span", { class: "figure" }, share(now))));
  }));
}
