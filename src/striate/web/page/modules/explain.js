// Explanations of one class side by side: any lens, its form made from what the server says of it, one slider for how
// much of the map lies over the picture, and under each what there is to say of its trust. Computes nothing.

import { write } from "./address.js";
import { events, get, post, remove } from "./api.js";
import { address, clear, h, number } from "./dom.js";
import { subject } from "./predictions.js";
import { on, say, state } from "./state.js";

const USUAL = ["saliency", "input_x_gradient", "grad_cam"];
const cards = new Map(); // lens -> Card
let keep = new Map(); // question -> answer, so that going back is at once

export function mount(panel) {
  const bar = h("header", { class: "bar" });
  const beside = h("div", { class: "beside" });
  clear(panel, bar, beside);
  on(["view", "lens", "lenses", "target", "predictions", "layer", "unit", "other", "opacity"], () => {
    if (state.view === "explain") head(bar);
  });
  on(["opacity"], ({ opacity }) => panel.style.setProperty("--opacity", opacity ?? 0.75));
  on(["view", "lens", "lenses", "picture", "target", "predictions", "options", "other", "layer", "unit", "epoch"], () => {
    if (state.view !== "explain") return;
    const names = chosen();
    for (const [name, card] of cards) if (!names.includes(name)) { card.stop(); cards.delete(name); }
    for (const name of names) if (!cards.has(name)) cards.set(name, new Card(name));
    const nodes = names.map((name) => cards.get(name).node);
    if (nodes.length !== beside.children.length || nodes.some((node, index) => beside.children[index] !== node)) clear(beside, nodes);
    for (const name of names) cards.get(name).ask();
  });
}

// --- what can be asked

const gives = (lens, ...words) => words.some((word) => lens.needs.includes(word));
const requires = (lens, word) => (lens.required ?? []).includes(word);

/** Lenses that say something of one picture: first those that explain a class. */
function usable() {
  const found = state.lenses.filter((lens) => gives(lens, "picture", "pictures", "images") && (!gives(lens, "atlas") || (state.session.atlas && !requires(lens, "target")) || !requires(lens, "atlas")));
  return [found.filter((lens) => gives(lens, "target")), found.filter((lens) => !gives(lens, "target"))];
}

function chosen() {
  const known = new Set(state.lenses.map(({ name }) => name));
  const asked = state.lens.filter((name) => known.has(name));
  if (asked.length) return asked;
  const usual = USUAL.filter((name) => known.has(name));
  return usual.length ? usual : usable()[0].slice(0, 2).map(({ name }) => name);
}

/** The address that is explained: what the URL says, or the class that the network names first. */
function target() {
  return state.target ?? subject()?.address ?? null;
}

const title = (name) => name.replaceAll("_", " ").replace(/^\w/, (first) => first.toUpperCase()).replace(/\b(cam|rise|lime|shap)\b/gi, (word) => word.toUpperCase());

// --- the line above

function head(bar) {
  const names = chosen();
  const about = target();
  const focused = bar.contains(document.activeElement) ? document.activeElement.id : null;
  const opened = bar.querySelector("details")?.open;
  const unit = state.unit === null ? null : `${state.layer}:${state.unit}`;
  const top = state.predictions?.classes ?? [];
  const listed = top.slice(0, state.session.exported?.classes);
  const known = new Set([...listed.map(({ index }) => `class:${index}`), ...(state.session.exported ? [] : [unit])]);
  const [explaining, others] = usable();
  const list = (lenses) => lenses.map((lens) => h("label", { class: "check", title: lens.summary },
    h("input", { type: "checkbox", id: `lens-${lens.name}`, checked: names.includes(lens.name), onchange: () => toggle(lens.name) }), title(lens.name)));
  clear(bar,
    h("h2", {}, "Why ", h("em", {}, name(about)), "?"),
    h("div", { class: "tools" },
      h("label", {}, "Explain", h("select", { id: "target", onchange: (event) => write({ target: event.target.value }) },
        listed.map((one) => h("option", { value: `class:${one.index}`, selected: about === `class:${one.index}` }, one.name)),
        unit && !state.session.exported && h("option", { value: unit, selected: about === unit }, `unit ${unit}`),
        about && !known.has(about) && h("option", { value: about, selected: true }, name(about)))),
      !state.session.exported && h("label", {}, "or", any()),
      h("label", {}, "Map over the picture", h("input", {
        id: "opacity", type: "range", min: 0, max: 1, step: 0.05, value: state.opacity ?? 0.75,
        oninput: (event) => bar.parentElement.style.setProperty("--opacity", event.target.value),
        onchange: (event) => write({ opacity: event.target.value }, { replace: true }),
      })),
      h("details", { class: "menu", open: opened }, h("summary", {}, `Lenses (${names.length})`),
        h("div", { class: "sheet" }, h("fieldset", {}, h("legend", {}, "Of a class or a unit"), list(explaining)), h("fieldset", {}, h("legend", {}, "Of the picture"), list(others))))));
  if (focused) document.getElementById(focused)?.focus();
}

/** A box in which any class can be named. */
function any() {
  const names = state.session.network.class_names ?? [];
  return h("span", {}, h("input", {
    id: "any", type: "search", list: "classes", placeholder: "any class", size: 12, "aria-label": "Any class by name or number",
    onchange: (event) => {
      const text = event.target.value.trim();
      if (!text) return;
      const index = /^\d+$/.test(text) ? Number(text) : names.indexOf(text);
      if (index >= 0 && index < state.session.network.classes) write({ target: `class:${index}` });
      else say(`No class is called ${text}.`);
    },
  }), h("datalist", { id: "classes" }, names.map((one) => h("option", { value: one }))));
}

function name(about) {
  const found = /^class:(\d+)$/.exec(about ?? "");
  return found ? state.session.network.class_names?.[found[1]] ?? `class ${found[1]}` : about ?? "";
}

function toggle(lens) {
  const names = chosen();
  write({ lens: names.includes(lens) ? names.filter((one) => one !== lens) : [...names, lens] });
}

// --- one lens

class Card {
  constructor(lens) {
    this.name = lens;
    this.info = state.lenses.find(({ name: one }) => one === lens);
    this.stage = h("div", { class: "stages" });
    this.words = h("div", { class: "words" });
    this.form = h("form", { onsubmit: (event) => event.preventDefault() });
    this.node = h("article", { class: "lens", "aria-label": title(lens) },
      h("header", {}, h("h3", { title: this.info.summary }, title(lens)),
        h("button", { class: "round", "aria-label": `Take ${title(lens)} away`, title: "Take away", onclick: () => toggle(lens) }, "×")),
      this.stage, this.words,
      this.info.options.length && !state.session.exported ? h("details", { class: "options" }, h("summary", {}, "Options"), this.form) : null);
    this.asked = null;
    this.jobs = [];
    this.fields();
  }

  stop() {
    for (const { id, close } of this.jobs.splice(0)) {
      close();
      remove(`jobs/${id}`).catch(() => {}); // it may have ended by itself
    }
  }

  /** Make the form from what the server says of the options. */
  fields() {
    clear(this.form, this.info.options.map((option) => {
      const key = `${this.name}.${option.name}`;
      const now = state.options[key] ?? state.options[option.name];
      const usual = option.default ?? null;
      const change = (value) => write({ options: { [key]: value === "" || value === null || String(value) === words(usual) ? null : String(value) } }, { replace: true });
      const id = `${this.name}-${option.name}`;
      let control;
      if (option.type === "bool") control = h("input", { id, type: "checkbox", checked: now === undefined ? Boolean(usual) : now === "true", onchange: (event) => change(event.target.checked) });
      else if (option.choices && !option.many) control = h("select", { id, onchange: (event) => change(event.target.value) },
        usual === null && h("option", { value: "" }, "automatic"), option.choices.map((choice) => h("option", { selected: (now ?? usual) === choice }, choice)));
      else if (option.type === "picture") control = h("select", { id, onchange: (event) => change(event.target.value) }, h("option", { value: "" }, "none"),
        state.session.pictures.map((one) => h("option", { value: one.id, selected: now === one.id }, one.name)));
      else if (option.name === "layer") control = h("select", { id, onchange: (event) => change(event.target.value) }, h("option", { value: "" }, "automatic"),
        state.network.layers.filter(({ shape }) => shape.length === 3 && shape[1] * shape[2] > 1).map(({ address: one }) => h("option", { selected: now === one }, one)));
      else {
        const whole = option.type === "int" && !option.many;
        control = h("input", {
          id, type: (whole || option.type === "float") && !option.many ? "number" : "text", step: whole ? 1 : "any", value: now ?? "",
          placeholder: usual === null ? "automatic" : words(usual), onchange: (event) => change(event.target.value.trim()),
        });
      }
      return h("label", { title: option.help, for: id }, h("span", {}, option.name.replaceAll("_", " ")), control);
    }));
  }

  question(beside) {
    const { info } = this;
    const options = {};
    for (const option of info.options) {
      const text = state.options[`${this.name}.${option.name}`] ?? state.options[option.name];
      if (text !== undefined) options[option.name] = value(option, text);
    }
    const about = gives(info, "target") ? target() : null;
    return { lens: this.name, pictures: [state.picture], target: about ? [about] : [], options, other: beside, epoch: beside || !state.epoch ? null : Number(state.epoch) };
  }

  /** Ask the server, unless this very question was the last one. */
  async ask() {
    if (!state.picture || (gives(this.info, "target") && !target())) return;
    const both = state.other && state.session.other ? [false, true] : [false];
    const questions = both.map((beside) => this.question(beside));
    const key = JSON.stringify(questions);
    if (this.asked === key) return;
    this.stop();
    this.asked = key;
    if (!this.form.contains(document.activeElement)) this.fields();
    this.node.setAttribute("aria-busy", "true");
    try {
      const found = await Promise.all(questions.map((question) => this.answer(question, key)));
      if (this.asked !== key || found.includes(undefined)) return;
      this.show(found, questions);
    } catch (error) {
      if (this.asked === key) this.fail(error.message);
    } finally {
      if (this.asked === key) this.node.removeAttribute("aria-busy");
    }
  }

  async answer(question, key) {
    const words2 = JSON.stringify(question);
    if (keep.has(words2)) return keep.get(words2);
    let found = await post("run", question, { lane: `lens ${this.name} ${question.other}` });
    if (found?.job) found = await this.wait(found.job, key);
    if (found) {
      keep.set(words2, found);
      if (keep.size > 60) keep = new Map([...keep].slice(-40));
    }
    return found;
  }

  /** Follow a job to its end: how far it is, the picture on its way, and a way to stop it. */
  wait(id, key) {
    return new Promise((resolve, reject) => {
      const bar = h("progress", { max: 1, "aria-label": `${title(this.name)}: how far` });
      const note = h("span", {}, "waiting …");
      const picture = h("img", { alt: "", class: "coming", hidden: true });
      clear(this.stage, picture, h("p", { class: "going" }, bar, note, h("button", { class: "small", onclick: () => remove(`jobs/${id}`).catch((error) => say(error.message)) }, "Stop")));
      clear(this.words);
      const close = events(`jobs/${id}/events`, {
        progress: ({ done, total, note: text, picture: shown }) => {
          if (this.asked !== key) return;
          if (total) { bar.max = total; bar.value = done; }
          note.textContent = text || (total ? `${done} of ${total}` : "");
          if (shown) { picture.src = shown; picture.hidden = false; }
        },
        done: async (end) => {
          this.jobs = this.jobs.filter((job) => job.id !== id);
          try {
            resolve(end.drawings ? end : end.result?.drawings ? end.result : (await get(`jobs/${id}`)).result);
          } catch (error) {
            reject(error);
          }
        },
        failed: ({ error }) => { this.jobs = this.jobs.filter((job) => job.id !== id); reject(new Error(error)); },
      });
      this.jobs.push({ id, close: () => { close(); resolve(undefined); } });
    });
  }

  fail(message) {
    clear(this.stage, h("p", { class: "message" }, message));
    clear(this.words);
  }

  show(found, questions) {
    const names = found.length > 1 ? [state.session.network.name, state.session.other.name] : [null];
    clear(this.stage, found.map((one, index) => h("div", {}, names[index] && h("p", { class: "of" }, names[index]), pictures(one))));
    clear(this.words, found.map((one, index) => [says(one), one.overlays?.length && !state.session.exported ? this.doubts(one, questions[index]) : null]));
  }

  /** What the map is put to the test by: asked for, since it takes a while. */
  doubts(found, question) {
    const place = h("div", { class: "doubts" });
    const ask = h("button", { class: "small", title: "Cover what the map calls important, bring it back, and shuffle the network's weights", onclick: () => test() }, "How far to believe it?");
    const tell = ({ sentence, doubt, numbers }) => clear(place, h("p", { class: `trust${doubt ? " doubt" : ""}` }, sentence), figures(numbers));
    const test = async () => {
      const bar = h("progress", { max: 1, "aria-label": "The test of the map: how far" });
      clear(place, h("p", { class: "going" }, bar, "testing the map …"));
      try {
        const { job } = await post("jobs", { kind: "trust", ...question });
        found.tested = await new Promise((resolve, reject) => {
          const close = events(`jobs/${job}/events`, {
            progress: ({ done, total }) => { if (total) { bar.max = total; bar.value = done; } },
            done: resolve,
            failed: ({ error }) => reject(new Error(error)),
          });
          this.jobs.push({ id: job, close: () => { close(); reject(new Error("Stopped.")); } });
        });
        tell(found.tested);
      } catch (error) {
        clear(place, h("p", { class: "quiet" }, error.message), ask);
      }
    };
    if (found.tested) tell(found.tested);
    else clear(place, ask);
    return place;
  }
}

/** The maps over the picture; a lens that gives no map, its drawings. */
function pictures(found) {
  if (found.overlays?.length) {
    return found.overlays.map(({ picture, map, title: words1, low, high, signed }) => h("figure", {},
      h("div", { class: "stack" }, h("img", { src: picture, alt: "The picture as the network sees it" }), h("img", { class: "map", src: map, alt: words1 ?? found.caption })),
      low !== undefined && low !== null && h("span", { class: `scale${signed ? " diverging" : ""}` }, number(low), h("i", {}), number(high))));
  }
  return found.drawings.map((one) => h("figure", {},
    h("a", { href: one.url, target: "_blank", rel: "noopener", title: "Open in its full size" }, h("img", { src: one.url, alt: `${one.title}. ${one.caption}`, width: one.width, height: one.height, class: one.sharp ? "sharp" : null })),
    found.drawings.length > 1 && h("figcaption", {}, address(one.title))));
}

function says(found) {
  const { trust } = found;
  const sentence = typeof trust === "string" ? trust : trust?.sentence;
  const time = found.seconds === undefined || found.seconds === null ? null : found.seconds < 1 ? `${Math.round(1000 * found.seconds)} ms` : `${found.seconds.toFixed(1)} s`;
  return [
    sentence && h("p", { class: `trust${trust.doubt ? " doubt" : ""}` }, sentence),
    figures(trust?.numbers),
    h("p", { class: "caption" }, found.caption, time && h("span", { class: "time" }, ` In ${time}.`)),
    found.notes?.length > 0 && h("ul", { class: "notes" }, found.notes.map((note) => h("li", {}, note))),
  ];
}

const figures = (numbers) => numbers && Object.keys(numbers).length > 0 && h("dl", { class: "figures" }, Object.entries(numbers).map(([key, one]) =>
  h("div", {}, h("dt", {}, key.replaceAll("_", " ")), h("dd", {}, typeof one === "number" ? number(one) : String(one)))));

// --- options as text and as values

const words = (usual) => (usual === null || usual === undefined ? "" : Array.isArray(usual) ? usual.join(", ") : String(usual));

function value(option, text) {
  const one = (part) => {
    if (option.type === "bool") return part === "true" || part === "1" || part === "yes";
    if ((option.type === "int" || option.type === "float") && part !== "" && Number.isFinite(Number(part))) return Number(part);
    return part;
  };
  return option.many ? text.split(",").map((part) => one(part.trim())) : one(text.trim());
}
