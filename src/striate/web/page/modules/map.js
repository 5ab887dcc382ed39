// The map of the atlas: what is laid out and how, hands on it, and what is said of a picture or a region. `plane` draws it.

import { bitmap, events, get, post, remove, url } from "./api.js";
import { go, open, source, what } from "./atlas.js";
import { address, clear, framed, h, number } from "./dom.js";
import { PIECE, Plane, SIDE, colours, within } from "./plane.js";
import { on, say, state } from "./state.js";

const METHODS = { pca: "PCA", tsne: "t-SNE", umap: "UMAP" };

export function mount(panel) {
  let chart = null;
  on(["view", "session"], ({ view, session }) => {
    if (view !== "map" || !session?.atlas) return;
    chart ??= new Chart(panel);
    chart.open();
  });
}

class Chart extends Plane {
  constructor(panel) {
    super();
    Object.assign(this, { method: "pca", layer: null, colours: {}, size: 32, colour: "labels", tool: "move", data: null, chosen: new Set(), near: [], over: null, one: null, scale: 1, left: 0, top: 0, sheets: [], job: null });
    this.draw = framed(() => this.paint());
    this.bar = h("header", { class: "bar" });
    this.canvas = h("canvas", {
      tabindex: 0, role: "application",
      "aria-label": "Map of the pictures: arrow keys move it, plus and minus zoom, 0 shows all of it, N goes to the next picture, Enter opens it, R takes all that are in sight, L switches the lasso",
    });
    this.tip = h("p", { class: "tip", hidden: true, "aria-hidden": "true" });
    this.words = h("p", { class: "under" });
    this.stage = h("div", { class: "stage" }, this.canvas, this.tip);
    this.side = h("aside", { "aria-label": "Of the map", "aria-live": "polite" });
    clear(panel, this.bar, h("div", { class: "atlas" }, h("div", { class: "plane" }, this.stage, this.words), this.side));
    new ResizeObserver(() => this.fit()).observe(this.stage);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", this.draw);
    this.listen();
    this.head();
    this.hint();
  }

  open() {
    if (!this.data && !this.job) this.load();
    else this.fit();
  }

  // --- what is shown

  head() {
    const held = this.bar.contains(document.activeElement) ? document.activeElement.id : null;
    const button = (id, words, pressed, act, label) => h("button", { id, "aria-pressed": pressed === null ? null : String(pressed), "aria-label": words.length > 1 ? null : label, title: label, onclick: act }, words);
    const layers = this.data?.layers ?? [];
    clear(this.bar,
      h("h2", {}, "Map", this.data && h("small", {}, `${this.data.pictures.length.toLocaleString("en")} pictures by `, address(this.data.layer))),
      h("div", { class: "tools" },
        !state.session.exported && h("div", { class: "segments", role: "group", "aria-label": "How it is laid out" }, Object.entries(METHODS).map(([key, words]) =>
          button(`map-${key}`, words, key === this.method, () => { this.method = key; this.load(); }))),
        layers.length > 1 && !state.session.exported && h("label", {}, "Features", h("select", { id: "map-layer", onchange: (event) => { this.layer = event.target.value; this.load(); } },
          layers.map((one) => h("option", { value: one, selected: one === this.data.layer }, one)))),
        this.data?.labels && (this.colours.labels.size || this.colours.predictions.size) > 0 && h("label", {}, "Colour", h("select", { id: "map-colour", onchange: (event) => { this.colour = event.target.value; this.draw(); } },
          [["labels", "what it is"], ["predictions", "what is said"]].map(([key, words]) => h("option", { value: key, selected: key === this.colour }, words)))),
        h("label", {}, "Pictures", h("input", { id: "map-size", type: "range", min: 0, max: 96, step: 4, value: this.size, "aria-label": "Size of the pictures", oninput: (event) => { this.size = Number(event.target.value); this.draw(); } })),
        h("div", { class: "segments", role: "group", "aria-label": "Tool" },
          button("map-move", "Move", this.tool === "move", () => this.take("move"), "Drag moves the map"),
          button("map-lasso", "Lasso", this.tool === "lasso", () => this.take("lasso"), "Drag surrounds pictures (or hold Shift)")),
        h("div", { class: "segments", role: "group", "aria-label": "Zoom" },
          button("map-out", "−", null, () => this.zoom(1 / 1.5), "Farther"), button("map-all", "All", null, () => this.home(), "The whole map"), button("map-in", "+", null, () => this.zoom(1.5), "Nearer")),
        button("map-mine", "Where is my picture?", null, () => this.mine(), "The nearest to the picture of the page")));
    this.bar.querySelector("#map-mine")?.classList.add("small");
    if (held) document.getElementById(held)?.focus();
  }

  take(tool) {
    this.tool = tool;
    this.canvas.classList.toggle("lasso", tool === "lasso");
    this.head();
  }

  async load() {
    this.leave();
    this.head();
    this.stage.setAttribute("aria-busy", "true");
    this.words.textContent = "Laying out the pictures …";
    const question = { method: this.method, layer: this.layer };
    try {
      const found = await get("map", question, { lane: "map", keep: false });
      if (!found) return;
      if (found.job) this.wait(found.job);
      else this.settle(found);
    } catch (error) {
      this.fail(error.message);
    }
  }

  wait(id) {
    const bar = h("progress", { "aria-label": "Laying out" });
    const note = h("span", {}, "Waiting for its turn …");
    clear(this.words, h("span", { class: "going" }, note, bar, h("button", { class: "small", onclick: () => remove(`jobs/${id}`).catch((error) => say(error.message)) }, "Stop")));
    const close = events(`jobs/${id}/events`, {
      progress: ({ task, done, total, note: words }) => {
        note.textContent = [task, words, total ? "" : done || ""].filter(Boolean).join(", ");
        if (total) Object.assign(bar, { max: total, value: done });
        else bar.removeAttribute("value");
      },
      done: () => { this.job = null; this.load(); },
      failed: ({ error }) => { this.job = null; this.fail(error); },
    });
    this.job = { id, close };
  }

  leave() {
    this.job?.close();
    this.job = null;
  }

  fail(text) {
    this.stage.removeAttribute("aria-busy");
    this.words.textContent = text;
    if (this.data) this.method = this.data.method;
    this.head();
  }

  settle(data) {
    this.stage.removeAttribute("aria-busy");
    const known = this.data?.total === data.total && this.data.pictures.length === data.pictures.length;
    this.data = data;
    this.count = data.pictures.length;
    const [x, y] = [data.x, data.y].map((values) => {
      const low = values.reduce((least, one) => Math.min(least, one), Infinity);
      const high = values.reduce((most, one) => Math.max(most, one), -Infinity);
      return { low, span: high - low || 1 };
    });
    // across and down, as the method gives them, in the longer span of the two
    const span = Math.max(x.span, y.span);
    this.x = Float32Array.from(data.x, (value) => (value - x.low) / span);
    this.y = Float32Array.from(data.y, (value) => (y.low + y.span - value) / span);
    this.spans = [x.span / span, y.span / span];
    this.place = new Map(data.pictures.map((picture, index) => [picture, index]));
    this.words.textContent = `${data.caption} ${data.belief}`;
    this.chosen = new Set();
    this.colours = colours(data);
    this.near = [];
    this.one = this.over = null;
    if (!known) {
      this.sheets.forEach((one) => one?.close?.());
      this.sheets = [];
    }
    this.head();
    this.home();
    this.fetch();
  }

  /** Thumbnails come a sheet at a time; until then a picture is a point. */
  async fetch() {
    if (this.fetching) return;
    this.fetching = true;
    const wanted = [...new Set(this.data.pictures.map((picture) => Math.floor(picture / PIECE)))];
    try {
      for (const piece of wanted) {
        if (this.sheets[piece] || state.view !== "map") continue;
        this.sheets[piece] = await bitmap("map/thumbnails.png", { from: piece ? piece * PIECE : null, count: PIECE, side: SIDE });
        this.draw();
      }
    } catch (error) {
      say(error.message);
    } finally {
      this.fetching = false;
    }
  }

  // --- hands

  listen() {
    const { canvas } = this;
    const held = new Map(); // pointers that are down, by id
    let dragged = 0;
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0016) * (event.deltaMode ? 16 : 1)), ...at(event));
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      canvas.setPointerCapture(event.pointerId);
      held.set(event.pointerId, at(event));
      dragged = 0;
      this.rope = held.size === 1 && (event.shiftKey || this.tool === "lasso") ? [at(event)] : null;
      this.tip.hidden = true;
    });
    canvas.addEventListener("pointermove", (event) => {
      const [x, y] = at(event);
      const before = held.get(event.pointerId);
      if (!before) return this.point_at(x, y);
      const other = [...held].find(([id]) => id !== event.pointerId)?.[1];
      if (other) { // two fingers: what lies between them stays there
        const [was, is] = [before, [x, y]].map(([px, py]) => Math.hypot(px - other[0], py - other[1]) || 1);
        this.zoom(is / was, (x + other[0]) / 2, (y + other[1]) / 2);
        this.rope = null;
      } else if (this.rope) {
        this.rope.push([x, y]);
        this.draw();
      } else this.move(x - before[0], y - before[1]);
      dragged += Math.hypot(x - before[0], y - before[1]);
      held.set(event.pointerId, [x, y]);
    });
    const up = (event) => {
      if (!held.delete(event.pointerId)) return;
      const rope = this.rope;
      this.rope = null;
      if (event.type === "pointercancel") return this.draw();
      if (rope && dragged > 8) this.surround(rope);
      else if (dragged < 5 && !held.size) {
        const index = this.data ? this.find(...at(event)) : null;
        if (index === null) this.forget();
        else this.look(index);
      }
      this.draw();
    };
    canvas.addEventListener("pointerup", up);
    canvas.addEventListener("pointercancel", up);
    canvas.addEventListener("pointerleave", () => { this.over = null; this.tip.hidden = true; this.draw(); });
    canvas.addEventListener("dblclick", (event) => this.zoom(2, ...at(event)));
    canvas.addEventListener("keydown", (event) => this.press(event));
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = 60;
    const acts = {
      ArrowLeft: () => this.move(step, 0), ArrowRight: () => this.move(-step, 0), ArrowUp: () => this.move(0, step), ArrowDown: () => this.move(0, -step),
      "+": () => this.zoom(1.5), "=": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5), 0: () => this.home(),
      r: () => this.surround([[0, 0], [this.width, 0], [this.width, this.height], [0, this.height]]),
      n: () => this.next(1), N: () => this.next(-1), l: () => this.take(this.tool === "lasso" ? "move" : "lasso"),
      Enter: () => { if (this.one !== null) open(this.data.pictures[this.one]); }, Escape: () => this.forget(),
    };
    const act = acts[event.key];
    if (!act || !this.data) return;
    act();
    event.preventDefault();
    event.stopPropagation();
  }

  next(by) {
    const index = this.one === null ? 0 : (this.one + by + this.count) % this.count;
    this.look(index);
    this.show(index);
  }

  point_at(x, y) {
    if (!this.data) return;
    const found = this.find(x, y);
    if (found !== this.over) {
      this.over = found;
      this.draw();
    }
    this.tip.hidden = found === null;
    this.canvas.classList.toggle("pointing", found !== null);
    if (found === null) return;
    this.tip.textContent = this.name(found);
    this.tip.style.left = `${Math.max(4, Math.min(x + 12, this.width - this.tip.offsetWidth - 4))}px`;
    this.tip.style.top = `${Math.min(y + 14, this.height - 28)}px`;
  }

  name(index) {
    const { data } = this;
    return what({ label: data.label_names[data.labels?.[index]] ?? "", said: data.class_names[data.predictions[index]] ?? "", name: data.names[index] });
  }

  // --- what is said of it

  hint() {
    clear(this.side, h("p", { class: "quiet" }, "What lies together is alike for the network. Click a picture to see it and its neighbours; surround some with the lasso (or hold Shift) to see what they have in common."));
  }

  forget() {
    this.chosen = new Set();
    this.near = [];
    this.one = null;
    this.hint();
    this.draw();
  }

  async look(index) {
    const picture = this.data.pictures[index];
    Object.assign(this, { one: index, near: [], chosen: new Set() });
    this.draw();
    const list = h("div");
    clear(this.side, h("button", { class: "patch", "aria-label": `Look at ${this.name(index)} in the page`, onclick: () => open(picture) }, h("img", { class: "large", src: source(picture), alt: this.name(index) })),
      h("h3", {}, this.name(index)), h("p", { class: "quiet words" }, this.data.names[index]),
      h("p", { class: "tools" }, h("button", { class: "small", onclick: () => open(picture) }, "Look at it")), list);
    await this.neighbours(list, { index: picture });
  }

  async mine() {
    if (!state.picture) return;
    const list = h("div");
    Object.assign(this, { one: null, near: [], chosen: new Set() });
    const name = state.session.pictures.find(({ id }) => id === state.picture)?.name ?? "";
    clear(this.side, h("img", { class: "large", src: url(`pictures/${state.picture}.png`, { side: 320 }), alt: name }), h("h3", {}, name), list);
    await this.neighbours(list, { picture: state.picture });
    if (this.near.length) this.show(this.near[0]);
  }

  async neighbours(place, question) {
    try {
      const found = await get("neighbours", { ...question, layer: this.data.layer }, { lane: "neighbours", keep: true });
      if (!found) return;
      this.near = found.neighbours.map(({ picture }) => this.place.get(picture)).filter((index) => index !== undefined);
      const believed = found.agreement === null ? "" : `The nearest other picture is of the same class for ${Math.round(found.agreement * 100)} % of ${found.judged} pictures.`;
      clear(place, h("h3", {}, "Its neighbours"), h("ul", { class: "patches" }, found.neighbours.map((one) => h("li", {}, h("button", {
        class: "patch", title: `${one.name}: ${what(one)}`, "aria-label": `${what(one)}, distance ${number(one.distance)}`,
        onclick: () => { const index = this.place.get(one.picture); if (index === undefined) open(one.picture); else { this.look(index); this.show(index); } },
      }, h("img", { src: source(one.picture, 96), alt: "", loading: "lazy" })), h("span", {}, one.label || one.said || one.name)))),
      h("p", { class: "quiet words" }, `By the distance of the features in ${found.layer}. `, believed, " ", found.notes.join(" ")));
      this.draw();
    } catch (error) {
      clear(place, h("p", { class: "quiet" }, error.message));
    }
  }

  async surround(rope) {
    const inside = [];
    for (let index = 0; index < this.count; index += 1) if (within(rope, ...this.spot(index))) inside.push(index);
    if (!inside.length) return void say("There is no picture in this region.");
    Object.assign(this, { chosen: new Set(inside), near: [], one: null });
    this.draw();
    const pictures = inside.map((index) => this.data.pictures[index]);
    clear(this.side, h("h3", {}, "In this region"), h("p", { class: "quiet" }, "Comparing …"));
    try {
      const found = await post("map/region", { pictures, layer: this.data.layer }, { lane: "region" });
      if (found) this.region(found, inside);
    } catch (error) {
      clear(this.side, h("p", { class: "quiet" }, error.message));
    }
  }

  region(found, inside) {
    const has = (layer) => state.network.layers.some((one) => one.address === layer);
    const shares = (title, list) => list.length > 0 && [h("h4", {}, title), h("ul", { class: "means" }, list.map((one) => h("li", { title: `${Math.round(one.everywhere * 1000) / 10} % of all pictures` },
      h("span", { class: "name" }, one.name), h("span", { class: "track" }, h("i", { css: { width: `${one.share * 100}%` } }), h("b", { css: { left: `${one.everywhere * 100}%` } })), h("span", { class: "figure" }, String(one.count)))))];
    const most = Math.max(...found.units.map(({ effect }) => effect), 1e-9);
    clear(this.side, h("h3", {}, "In this region"), h("p", { class: "words", role: "status" }, found.sentence),
      h("ul", { class: "patches few" }, inside.slice(0, 12).map((index) => h("li", {}, h("button", { class: "patch", "aria-label": this.name(index), title: this.name(index), onclick: () => this.look(index) },
        h("img", { src: source(this.data.pictures[index], 64), alt: "", loading: "lazy" }))))),
      shares("What they are", found.labels), shares("What is said of them", found.predictions),
      found.units.length > 0 && [h("h4", {}, "Units that answer to them above all"), h("ul", { class: "means" }, found.units.map((one) => h("li", { title: `mean ${number(one.inside)} here, ${number(one.outside)} elsewhere` },
        h("button", { class: "link name", disabled: !has(one.layer), onclick: () => go(one.layer, one.unit) }, one.address), h("span", { class: "track" }, h("i", { css: { width: `${one.effect / most * 100}%` } })), h("span", { class: "figure" }, number(one.effect, 2))))),
        h("p", { class: "quiet words" }, "Difference of the means in standard deviations. A region that was chosen for lying together has large ones by that choice alone.")],
      h("p", { class: "tools" }, h("button", { class: "small", onclick: () => this.forget() }, "Let go")));
  }
}
