// What several panels do with the pictures of the atlas: crop them, frame them, open them. Asks the server; keeps no state.

import { write } from "./address.js";
import { post, url } from "./api.js";
import { h, s } from "./dom.js";
import { say, set, state } from "./state.js";

const loaded = new Map(); // images by address, so that a crop is drawn at once the second time
const KEPT = 300;

/** The address of a picture of the atlas, its longer side so many pixels; as the network saw it unless given. */
export const source = (picture, side) => url(`atlas/pictures/${picture}.png`, { side });

/** Load a picture once. */
export function image(address) {
  if (!loaded.has(address)) {
    const made = new Image();
    made.decoding = "async";
    const promise = new Promise((resolve, reject) => {
      made.onload = () => resolve(made);
      made.onerror = () => { loaded.delete(address); reject(new Error("A picture of the atlas cannot be read any more.")); };
    });
    made.src = address;
    loaded.set(address, promise);
    if (loaded.size > KEPT) loaded.delete(loaded.keys().next().value);
  }
  return loaded.get(address);
}

/** A square canvas with what a unit sees of a picture; hard pixels where that is little. */
export function crop(patch, side) {
  const density = devicePixelRatio || 1;
  const canvas = h("canvas", { width: Math.round(side * density), height: Math.round(side * density), css: { width: `${side}px`, height: `${side}px` }, "aria-hidden": "true" });
  image(source(patch.picture)).then((picture) => {
    const [top, left, bottom, right] = patch.box;
    const [tall, wide] = [bottom - top + 1, right - left + 1];
    const scale = canvas.width / Math.max(tall, wide);
    const pen = canvas.getContext("2d");
    pen.imageSmoothingEnabled = Math.max(tall, wide) > 32;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(picture, left, top, wide, tall, (canvas.width - wide * scale) / 2, (canvas.height - tall * scale) / 2, wide * scale, tall * scale);
  }, () => canvas.classList.add("gone"));
  return canvas;
}

/** A whole picture with a frame around what a unit sees of it. */
export function framed(patch, side) {
  const [height, width] = patch.size;
  const [top, left, bottom, right] = patch.box;
  const box = { x: left, y: top, width: right - left + 1, height: bottom - top + 1 };
  return h("span", { class: "framed", css: { width: `${side}px`, height: `${side}px` } },
    h("img", { src: source(patch.picture), alt: "", loading: "lazy" }),
    s("svg", { class: "over", viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, s("rect", { class: "halo", ...box }), s("rect", { class: "box", ...box })));
}

/** What a picture of the atlas is, in words. */
export const what = ({ label, said, name }) => label ? (said && said !== label ? `${label}, taken for ${said}` : label) : said || name;

/** Put a picture of the atlas among the pictures of the page, and look at it. */
export async function open(picture) {
  try {
    const found = await post(`atlas/pictures/${picture}`, {});
    const rest = state.session.pictures.filter((one) => one.id !== found.id);
    set({ session: { ...state.session, pictures: [...rest, found] } });
    write({ picture: found.id, view: state.view === "map" ? "units" : state.view });
    say("");
  } catch (error) {
    say(error.message);
  }
}

/** Go to a unit of a layer, where the network on the page has one. */
export const go = (layer, unit) => write({ layer, unit, view: "units" });
