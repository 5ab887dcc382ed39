// What `striate export` puts in the place of api.js: answers are files beside the page, loaded as scripts (a page that is
// opened as a file may load nothing else). What was not asked for when they were written needs the server, and says so.
// Columns, single values and regions are worked out here, from numbers that were exported for it.

import { read } from "./address.js";
import { works } from "./exported_numbers.js";
import { region } from "./exported_region.js";

const { files, packs, refused, about } = globalThis.exported;
const loaded = new Map(); // file -> promise
const answers = new Map(); // question -> answer
const turns = new Map(); // lane -> number of its latest question
const arrivals = new Map(); // file -> what to call when it is there
const held = new Map(); // numbers by name, a few at a time
const HELD = 12;
const NOTHING = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' width='8' height='8'%3E%3C/svg%3E";

globalThis.exported.take = (pack, found) => {
  for (const [question, answer] of Object.entries(found)) answers.set(question, answer);
  arrivals.get(`answers/${pack}.js`)?.();
};
globalThis.exported.hold = (name, packed) => arrivals.get(`numbers/${name}.js`)?.(packed);

/** What is not there; its message is for people. */
export class ServerError extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

/** Write a question in one way: as the files were named by. */
function question(path, parameters = {}) {
  const words = [];
  for (const name of Object.keys(parameters).sort()) {
    const value = parameters[name];
    if (value === null || value === undefined || value === false || value === "") continue;
    words.push(`${name}=${value === true ? "1" : Array.isArray(value) ? value.join(",") : value}`);
  }
  return words.length ? `${path}?${words.join("&")}` : path;
}

/** Where a picture is: the file that answers, or an empty one. */
export const url = (path, parameters) => files[question(path, parameters)] ?? NOTHING;

/** Get an answer. A newer question of the same lane takes the place of this one, which then gives undefined. */
export async function get(path, parameters, { lane } = {}) {
  const turn = next(lane);
  let found;
  if (path === "field") found = await field(parameters);
  else if (path === "occlude") found = await covered(parameters);
  else if (path === "column") found = await work.column(parameters);
  else if (path === "arithmetic") found = await work.arithmetic(parameters);
  else found = await answer(question(path, parameters));
  return lane && turns.get(lane) !== turn ? undefined : found;
}

/** Get a picture that canvases draw at once. */
export async function bitmap(path, parameters, { lane } = {}) {
  const turn = next(lane);
  const image = new Image();
  const asked = question(path, parameters);
  if (!files[asked]) throw missing(asked);
  image.src = files[asked];
  await image.decode();
  const found = await createImageBitmap(image);
  return lane && turns.get(lane) !== turn ? undefined : found;
}

/** A lens that was asked when this was written; there is nobody to send anything else to. */
export async function post(path, body, { lane } = {}) {
  const turn = next(lane);
  if (path === "map/region") {
    const found = await common(body);
    return lane && turns.get(lane) !== turn ? undefined : found;
  }
  if (path !== "run") throw missing(path);
  const { lens, pictures, target, options, other, epoch } = body;
  if (Object.keys(options).length && JSON.stringify(read().options) !== JSON.stringify(about.options)) throw missing("options");
  const found = await answer(question("run", { lens, picture: pictures.join(","), target: target.join(","), other, epoch }));
  return lane && turns.get(lane) !== turn ? undefined : found;
}

export const file = (path) => Promise.reject(missing(path));

export const remove = () => Promise.resolve(true);

/** Let nothing more come of what this lane has asked for. */
export const abort = (lane) => { next(lane); };

export function events(path, { failed }) {
  queueMicrotask(() => failed?.({ error: missing(path).message }));
  return () => {};
}

// --- the answers

function next(lane) {
  if (!lane) return 0;
  turns.set(lane, (turns.get(lane) ?? 0) + 1);
  return turns.get(lane);
}

const missing = (asked) => new ServerError(refused[asked] ?? `This was not exported. The microscope itself shows it: ${about.live}.`);

async function answer(asked) {
  const pack = packs[asked];
  if (pack === undefined) throw missing(asked);
  const file = `answers/${pack}.js`;
  if (!loaded.has(file)) loaded.set(file, load(file));
  await loaded.get(file);
  return answers.get(asked);
}

function load(file) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    arrivals.set(file, resolve);
    script.onload = () => script.remove();
    script.onerror = () => {
      loaded.delete(file);
      script.remove();
      reject(new ServerError(`${file} is missing, or is not readable: the folder was not copied as a whole.`));
    };
    script.src = file;
    document.head.append(script);
  });
}

// --- numbers

/** The numbers of a file: Float32Array; float16 where `half`. */
function numbers(name, half = false) {
  if (!held.has(name)) {
    if (held.size >= HELD) held.delete(held.keys().next().value);
    const promise = load(`numbers/${name}.js`).then((packed) => unpack(packed, half));
    promise.catch(() => held.delete(name));
    held.set(name, promise);
  }
  return held.get(name);
}

/** Base64 of packed bytes, all first bytes of the numbers, then all second ones, and so on. */
async function unpack(packed, half) {
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer());
  const size = half ? 2 : 4;
  const many = planes.length / size;
  if (half) return Float32Array.from({ length: many }, (_, at) => halved(planes[at] | planes[many + at] << 8));
  const whole = new Uint32Array(many);
  for (let at = 0; at < many; at += 1) whole[at] = planes[at] | planes[many + at] << 8 | planes[2 * many + at] << 16 | planes[3 * many + at] << 24;
  return new Float32Array(whole.buffer);
}

/** The number that sixteen bits stand for. */
function halved(bits) {
  const [exponent, fraction] = [bits >> 10 & 31, bits & 1023];
  const size = exponent === 31 ? (fraction ? NaN : Infinity) : exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : fraction * 2 ** -24;
  return bits & 0x8000 ? -size : size;
}

const work = works((path, parameters) => answer(question(path, parameters)), numbers);

/** What pictures of the atlas have in common. */
async function common({ pictures, layer }) {
  const [kept, map] = await Promise.all([answer(question("region", { layer })), answer(question("map", { method: "pca" }))]);
  return region(pictures, map, kept, kept.features && await numbers(kept.features, kept.half));
}

/** What a unit sees: its rows and its columns are kept apart. */
async function field(asked) {
  const { layer, row, col, picture, other } = asked;
  const { status, rows, columns } = await answer(question("fields", { layer, picture, other }));
  if (!rows[row] || !columns[col]) return null;
  return { top: rows[row][0], bottom: rows[row][1], left: columns[col][0], right: columns[col][1], status, value: await work.value(asked) };
}

/** What a patch changes, at the nearest of the places where it was tried. */
async function covered({ picture, x, y, target, epoch }) {
  const [row, col] = [y, x].map((share) => Math.min(about.places - 1, Math.floor(share * about.places)));
  const found = (await answer(question("covers", { picture, row, epoch })))[col];
  if (!found) throw new ServerError("The network does not see that place.");
  if (target && target !== found.target && !found.before.some(({ index }) => `class:${index}` === target)) throw missing("target");
  return found;
}
