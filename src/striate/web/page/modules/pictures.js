// The picture bar: which picture is looked at, the user's own by file, drop, paste or camera; on the picture the window
// that a unit sees, beside it the chosen unit's map. Pointing at the picture reads the layer's column there.

import { write } from "./address.js";
import { abort, get, post, url } from "./api.js";
import { address, clear, framed, h, number, s } from "./dom.js";
import { on, say, set, state } from "./state.js";
import { pictureOf } from "./synthesised.js";
import { palette } from "./palette.js";

const COVER = 32; // side of the patch that a click covers, pixels of the network's input
const STEP = 1 / 14; // of the picture's side, for the arrow keys

export function mount(panel) {
  const look = h("figure", { class: "photo" });
  const focus = h("figure", { class: "focus" });
  const column = h("div", { class: "column" });
  const bar = h("div", { class: "samples", role: "group", "aria-label": "Pictures" });
  clear(panel, h("div", { class: "pair" }, look, focus), column, bar);
  photo(look);
  map(focus);
  strip(column);
  samples(bar);
  arrivals();
}

/** Go to the picture after or before the present one. */
export function turnOver(by) {
  const { pictures } = state.session;
  const at = pictures.findIndex((one) => one.id === state.picture);
  choose(pictures[(at + by + pictures.length) % pictures.length].id);
}

/** Take away what covers the picture. */
export const uncover = () => set({ occluded: null, place: null });

const choose = (picture) => write({ picture });
const now = () => state.session?.pictures.find((one) => one.id === state.picture);

// --- the picture

function photo(figure) {
  const image = h("img", { alt: "", draggable: "false" });
  const over = s("svg", { class: "over", preserveAspectRatio: "none", "aria-hidden": "true" });
  const pad = h("div", {
    class: "pad", role: "application", tabindex: 0, onkeydown: (event) => press(event),
    "aria-label": "Picture: the arrow keys move a place on it, Enter covers the patch there, Escape takes the cover away",
  }, image, over);
  const caption = h("figcaption");
  clear(figure, pad, caption);

  on(["picture", "session"], () => {
    const picture = now();
    if (!picture) return;
    pad.style.setProperty("--ratio", picture.width / picture.height);
    image.src = url(`pictures/${picture.id}.png`, { side: 640 });
    image.alt = picture.name;
    over.setAttribute("viewBox", `0 0 ${picture.width} ${picture.height}`);
    set({ place: null, occluded: null, hover: null });
  });
  on(["picture", "hover", "field", "place", "occluded"], () => overlay(over));
  on(["hover", "picture"], fieldOf);
  on(["layer", "epoch"], () => { // the same place, in another map
    if (!state.place) return;
    const { x, y } = state.place;
    set({ place: { x, y } });
    point(x, y);
  });
  on(["picture", "hover", "field", "occluded", "place"], () => words(caption));

  const share = (event) => {
    const box = pad.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top].map((value, axis) =>
      Math.max(0, Math.min(0.999, value / (axis ? box.height : box.width))));
  };
  const move = framed((x, y) => point(x, y));
  pad.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse") move(...share(event)); });
  pad.addEventListener("pointerleave", () => { abort("column"); set({ place: null }); });
  pad.addEventListener("click", (event) => {
    const [x, y] = share(event);
    point(x, y);
    set({ occluded: { x, y, size: COVER } });
  });
}

/** Whether a layer gives maps, so that its units have places. */
function hasMap(layer) {
  const found = state.network.layers.find((one) => one.address === layer);
  return found?.shape.length === 3 && found.shape[1] * found.shape[2] > 1;
}

/** Why the values of all units at a place cannot be told in a page that was exported; nothing where they can. */
function withheld(layer) {
  const { exported } = state.session;
  if (!exported || exported.numbers.includes(layer)) return null;
  return `All units at a place: the numbers of this layer were not exported. ${exported.live} shows them.`;
}

async function point(x, y) {
  const { layer, picture, epoch } = state;
  if (!hasMap(layer) || withheld(layer)) return void set({ place: { x, y } });
  set({ place: { ...state.place, x, y } });
  try {
    const found = await get("column", { layer, picture, y: y.toFixed(4), x: x.toFixed(4), epoch }, { lane: "column", keep: true });
    if (found && state.place) set({ place: { x, y, ...found } });
  } catch (error) {
    say(error.message);
  }
}

function press(event) {
  const by = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
  const { x = 0.5, y = 0.5 } = state.place ?? {};
  const clip = (value) => Math.max(0, Math.min(0.999, value));
  if (by) point(clip(x + by[0]), clip(y + by[1]));
  else if (event.key === "Enter" || event.key === " ") set({ occluded: { x, y, size: COVER } });
  else return;
  event.preventDefault();
  event.stopPropagation();
}

async function fieldOf({ hover, picture }) {
  if (!hover || !hasMap(hover.layer)) return void set({ field: null });
  const { layer, unit, row, col } = hover;
  try {
    const found = await get("field", { layer, unit, row, col, picture, other: hover.other, epoch: hover.other ? null : state.epoch }, { lane: "field", keep: true });
    if (found !== undefined && state.hover === hover) set({ field: found });
  } catch {
    set({ field: null });
  }
}

function overlay(svg) {
  const picture = now();
  if (!picture) return;
  const { field, occluded, place, hover } = state;
  const parts = [];
  const { crop } = picture;
  const { width, height } = picture;
  if (crop && (crop.top > 0 || crop.left > 0 || crop.bottom < height || crop.right < width)) {
    const [top, left, bottom, right] = [crop.top, crop.left, crop.bottom, crop.right];
    parts.push(s("path", { class: "outside", d: `M0 0H${width}V${height}H0ZM${left} ${top}V${bottom}H${right}V${top}Z`, "fill-rule": "evenodd" }));
  }
  const covered = occluded?.box ?? (occluded ? guess(occluded, picture) : null);
  if (covered) parts.push(rect(covered, "cover"), ...box(covered));
  if (hover && field?.right > field?.left) parts.push(...box(field));
  else if (place && !hover) {
    const [x, y] = [place.x * width, place.y * height];
    for (const kind of ["halo", "cross"]) parts.push(s("path", { class: kind, d: `M${x} 0V${height}M0 ${y}H${width}` }));
  }
  clear(svg, parts);
}

/** Where the cover will lie, until the server says it exactly. */
function guess({ x, y, size }, picture) {
  const side = Number(state.session.network.input.split(/\s*[x×]\s*/)[1]);
  const across = Math.min(picture.width, picture.height) * size / side;
  const [left, top] = [x * picture.width - across / 2, y * picture.height - across / 2];
  return { top, left, bottom: top + across, right: left + across };
}

const rect = ({ top, left, bottom, right }, kind) => s("rect", { class: kind, x: left, y: top, width: right - left, height: bottom - top });
const box = (where) => [rect(where, "halo"), rect(where, "box")];

function words(caption) {
  const { hover, field, occluded } = state;
  const picture = now();
  if (!picture) return;
  let text = `${picture.name}, ${picture.width} × ${picture.height}`;
  if (hover && field?.right > field?.left) {
    text = `${hover.unit} @ ${hover.row}, ${hover.col} sees ${Math.round(field.bottom - field.top)} × ${Math.round(field.right - field.left)} px of it`
      + (field.status && field.status !== "exact" ? ` (${field.status})` : "") + (field.value === undefined || field.value === null ? "" : `; its value is ${number(field.value)}`);
  } else if (hover && field?.status) text = `${hover.unit} @ ${hover.row}, ${hover.col} sees: ${field.status}`;
  else if (occluded) text = "Esc takes the cover away.";
  else if (state.place) text = "Click: cover the patch here.";
  caption.textContent = text;
}

// --- the chosen unit's map, as large as the picture

function map(figure) {
  const canvas = h("canvas", { "aria-hidden": "true" });
  const caption = h("figcaption");
  clear(figure, canvas, caption);
  const draw = framed(() => paint(figure, canvas, caption));
  on(["sprite", "unit", "place", "hover", "view", "show", "made"], draw);
  new ResizeObserver(draw).observe(figure);
  const at = (event) => {
    const { info } = state.sprite;
    const area = canvas.getBoundingClientRect();
    const clip = (value, size) => Math.max(0, Math.min(size - 1, Math.floor(value * size)));
    return { row: clip((event.clientY - area.top) / area.height, info.height), col: clip((event.clientX - area.left) / area.width, info.width) };
  };
  const usable = () => state.unit !== null && state.sprite?.show === "activations";
  canvas.addEventListener("pointermove", (event) => usable() && set({ hover: { layer: state.layer, unit: state.unit, ...at(event) } }));
  canvas.addEventListener("pointerleave", () => set({ hover: null }));
  canvas.addEventListener("click", (event) => usable() && set({ opened: { layer: state.layer, unit: state.unit, ...at(event) } }));
}

function paint(figure, canvas, caption) {
  const { sprite, unit, place, hover } = state;
  const before = sprite?.show === "synthesised" && sprite.layer === state.layer && sprite.info.made.includes(unit) && !pictureOf(unit, false);
  if (unit !== null && state.show === "synthesised" && !before) return made(figure, canvas, caption);
  const shown = unit !== null && sprite && sprite.layer === state.layer && unit < sprite.info.channels;
  figure.classList.toggle("empty", !shown);
  if (!shown) {
    canvas.width = canvas.height = 1;
    clear(caption, unit === null ? "Choose a unit: its map stands here." : "");
    return;
  }
  const { info, bitmap } = sprite;
  const [high, wide] = info.cell;
  const room = figure.clientWidth;
  const density = devicePixelRatio || 1;
  const scale = Math.min(room / wide, room / high);
  canvas.width = Math.round(wide * scale * density);
  canvas.height = Math.round(high * scale * density);
  canvas.style.width = `${wide * scale}px`;
  canvas.style.height = `${high * scale}px`;
  const pen = canvas.getContext("2d");
  pen.imageSmoothingEnabled = sprite.show !== "activations" && sprite.show !== "filters";
  pen.drawImage(bitmap, (unit % info.columns) * wide, Math.floor(unit / info.columns) * high, wide, high, 0, 0, canvas.width, canvas.height);
  const point = hover?.unit === unit ? hover : place?.row === undefined ? null : place;
  if (point && sprite.show === "activations") {
    const [w, t] = [canvas.width / info.width, canvas.height / info.height];
    const grow = Math.max(0, (5 * density - w) / 2);
    for (const [colour, out] of [["rgba(19,19,22,.7)", density], [palette().accent, 0]]) {
      pen.lineWidth = 1.5 * density;
      pen.strokeStyle = colour;
      pen.strokeRect(point.col * w - grow - out, point.row * t - grow - out, w + 2 * (grow + out), t + 2 * (grow + out));
    }
  }
  clear(caption, address(`${state.layer}:${unit}`), sprite.show === "activations"
    ? ` ${number(info.minima?.[unit] ?? Math.min(0, info.low))} … ${number(info.maxima[unit])}. Click: the arithmetic of a value.` : { synthesised: ", a picture that was made for it before", filters: `, its kernel, ${info.height} × ${info.width}`, patches: ", its best patch" }[sprite.show] ?? "");
}

/** The picture made for the chosen unit, where there is one. */
function made(figure, canvas, caption) {
  const picture = pictureOf(state.unit, false);
  figure.classList.toggle("empty", !picture);
  canvas.width = picture?.width ?? 1;
  canvas.height = picture?.height ?? 1;
  canvas.style.width = canvas.style.height = "100%";
  if (picture) canvas.getContext("2d").drawImage(picture, 0, 0);
  clear(caption, address(`${state.layer}:${state.unit}`), picture ? ", a picture made for it in 64 steps" : ": no picture is made for it yet");
}

// --- the column of activations under the pointer

function strip(place) {
  const canvas = h("canvas", { "aria-hidden": "true" });
  const text = h("p");
  clear(place, canvas, text);
  on(["place", "layer", "unit"], ({ place: point, layer }) => {
    place.classList.toggle("empty", !point?.values);
    if (!point?.values) return void clear(text, withheld(layer) ?? "Point at the picture: all units of the layer at that place.");
    clear(text, `At ${point.row}, ${point.col} the strongest: `, point.strongest.slice(0, 4).flatMap((unit, index) =>
      [index ? ", " : "", h("button", { class: "link", onclick: () => write({ layer, unit }) }, String(unit)), ` (${number(point.values[unit], 2)})`]));
    bars(canvas, point);
  });
}

function bars(canvas, { values, strongest }) {
  const density = devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = width * density;
  canvas.height = height * density;
  const pen = canvas.getContext("2d");
  const colours = palette();
  const low = values.reduce((least, one) => Math.min(least, one), 0);
  const high = values.reduce((most, one) => Math.max(most, one), 1e-9);
  const place = (value) => canvas.height * (high - value) / (high - low);
  const wide = canvas.width / values.length;
  const lit = new Set(strongest.slice(0, 4));
  for (let unit = 0; unit < values.length; unit += 1) {
    const [top, bottom] = [place(Math.max(0, values[unit])), place(Math.min(0, values[unit]))];
    pen.fillStyle = unit === state.unit || lit.has(unit) ? colours.accent : colours.partner;
    pen.fillRect(unit * wide, top, Math.max(1, wide - (wide > 3 ? 1 : 0)), Math.max(bottom - top, 1));
  }
}

// --- which picture

function samples(bar) {
  const file = h("input", { type: "file", accept: "image/*", class: "hidden", "aria-label": "Picture file", tabindex: -1, onchange: () => { for (const one of file.files) send(one, one.name); file.value = ""; } });
  on(["session", "picture"], ({ session, picture }) => {
    if (!session) return;
    clear(bar,
      session.pictures.map((one) => h("button", {
        class: "sample", "aria-pressed": String(one.id === picture), title: one.name, "aria-label": `Picture ${one.name}`, onclick: () => choose(one.id),
      }, h("img", { src: url(`pictures/${one.id}.png`, { side: 96 }), alt: "", loading: "lazy" }))),
      !session.exported && h("button", { class: "sample add", title: "A picture of yours: choose a file, drop it anywhere, or paste it", "aria-label": "Add a picture from a file", onclick: () => file.click() }, "+"),
      !session.exported && navigator.mediaDevices?.getUserMedia && h("button", { class: "sample add", title: "Take a picture with the camera", "aria-label": "Take a picture with the camera", onclick: camera },
        s("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, s("path", { d: "M4 7h4l1.5-2h5L16 7h4v12H4z" }), s("circle", { cx: 12, cy: 13, r: 3.5 }))),
      file);
  });
}

async function send(blob, name) {
  const { exported } = state.session;
  if (exported) return say(`Nothing can be asked of a picture that was not exported. ${exported.live} takes pictures of your own.`);
  say(`Reading ${name} …`);
  try {
    const picture = await post(`pictures?name=${encodeURIComponent(name)}`, blob);
    const rest = state.session.pictures.filter((one) => one.id !== picture.id);
    set({ session: { ...state.session, pictures: [...rest, { name, ...picture }] } });
    say("");
    choose(picture.id);
  } catch (error) {
    say(error.message);
  }
}

function arrivals() {
  const files = (transfer) => [...(transfer?.files ?? [])].filter(({ type }) => type.startsWith("image/"));
  let depth = 0;
  const show = (by) => { depth = Math.max(0, depth + by); document.body.classList.toggle("dropping", depth > 0); };
  addEventListener("dragenter", (event) => { if (!state.session.exported && event.dataTransfer?.types.includes("Files")) show(1); });
  addEventListener("dragleave", () => show(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    show(-depth);
    const found = files(event.dataTransfer);
    if (!found.length) say("That is not a picture file.");
    for (const one of found) send(one, one.name);
  });
  addEventListener("paste", (event) => { for (const one of files(event.clipboardData)) send(one, one.name || "pasted.png"); });
}

async function camera() {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 960 } } });
  } catch (error) {
    return say(`No camera: ${error.message}.`);
  }
  const video = h("video", { autoplay: true, muted: true, playsinline: true, "aria-label": "What the camera sees" });
  video.muted = true;
  video.srcObject = stream;
  const dialog = h("dialog", { class: "camera", "aria-label": "Camera" }, video, h("p", { class: "tools" },
    h("button", { class: "main", onclick: take }, "Take the picture"), h("button", { onclick: () => dialog.close() }, "Cancel")));
  dialog.addEventListener("close", () => {
    stream.getTracks().forEach((track) => track.stop());
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();

  function take() {
    if (!video.videoWidth) return; // it is not running yet
    const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => { dialog.close(); send(blob, "camera.png"); }, "image/png");
  }
}
