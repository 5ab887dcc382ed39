// What `striate export` puts in the place of api.js: answers are files beside the page, loaded as scripts (a page that is
// opened as a file may load nothing else). What was not asked for when they were written needs the server, and says so.

const { files, packs, refused, about } = globalThis.exported;
const loaded = new Map(); // pack -> promise
const answers = new Map(); // question -> answer
const turns = new Map(); // lane -> number of its latest question
const arrivals = new Map(); // pack -> what to call when it is there
const NOTHING = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' width='8' height='8'%3E%3C/svg%3E";

globalThis.exported.take = (pack, found) => {
  for (const [question, answer] of Object.entries(found)) answers.set(question, answer);
  arrivals.get(pack)?.();
};

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
  else if (path === "column") found = undefined; // the values of all units everywhere would be too much
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
  if (path !== "run") throw missing(path);
  const { lens, pictures, target, options, other, epoch } = body;
  if (Object.keys(options).length) throw missing("options");
  const turn = next(lane);
  const found = await answer(question("run", { lens, picture: pictures.join(","), target: target.join(","), other, epoch }));
  return lane && turns.get(lane) !== turn ? undefined : found;
}

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
  if (!loaded.has(pack)) loaded.set(pack, load(pack));
  await loaded.get(pack);
  return answers.get(asked);
}

function load(pack) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    arrivals.set(pack, resolve);
    script.onload = () => script.remove();
    script.onerror = () => {
      loaded.delete(pack);
      script.remove();
      reject(new ServerError(`answers/${pack}.js is missing, or is not readable: the folder was not copied as a whole.`));
    };
    script.src = `answers/${pack}.js`;
    document.head.append(script);
  });
}

/** What a unit sees: its rows and its columns are kept apart. */
async function field({ layer, row, col, picture, other }) {
  if (other) return null;
  const { status, rows, columns } = await answer(question("fields", { layer, picture }));
  if (!rows[row] || !columns[col]) return null;
  return { top: rows[row][0], bottom: rows[row][1], left: columns[col][0], right: columns[col][1], status, value: null };
}

/** What a patch changes, at the nearest of the places where it was tried. */
async function covered({ picture, x, y, target, epoch }) {
  if (epoch) throw missing("epoch");
  const [row, col] = [y, x].map((share) => Math.min(about.places - 1, Math.floor(share * about.places)));
  const found = (await answer(question("covers", { picture, row })))[col];
  if (!found) throw new ServerError("The network does not see that place.");
  if (target && !found.before.some(({ index }) => `class:${index}` === target)) throw missing("target");
  return found;
}
