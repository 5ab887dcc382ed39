// One grid of units, drawn from one sprite on a canvas: only what is in sight is drawn, in each frame anew.

import { write } from "./address.js";
import { abort, bitmap, get } from "./api.js";
import { lacking, scaled } from "./contents.js";
import { clear, framed, h, number } from "./dom.js";
import { dark, palette } from "./palette.js";
import { on, set, state } from "./state.js";
import { pictureOf } from "./synthesised.js";

const GAP = 2;
const FIGURES = 13; // room for a unit's number below its cell, px
const ROOMY = 48; // cells from here on have their number below

/** Whether values below zero mean something here. */
export const signed = (info) => info.signed ?? info.low < 0;

export class Grid {
  static side = 64; // px of a cell's longer side, as near as fills the width

  constructor(other, name) {
    this.other = other;
    this.order = [];
    this.info = null;
    this.sprite = null;
    this.columns = 1;
    this.over = null;
    this.active = 0;
    this.draw = framed(() => this.paint());
    this.canvas = h("canvas", { "aria-hidden": "true" });
    this.space = h("div", { class: "space" });
    this.cell = h("div", { role: "gridcell", id: other ? "cell-other" : "cell" });
    this.scroller = h("div", {
      class: "scroll cells", tabindex: 0, role: "grid", "aria-label": `Units${name ? ` of ${name}` : ""}`, "aria-activedescendant": this.cell.id,
      onscroll: () => { this.draw(); this.follow(); },
      onkeydown: (event) => this.press(event),
      onfocus: () => this.draw(), onblur: () => this.draw(),
    }, h("div", { class: "hidden", role: "row" }, this.cell), this.canvas, this.space);
    this.tip = h("p", { class: "tip", hidden: true, "aria-hidden": "true" });
    this.message = h("p", { class: "message", hidden: true });
    this.node = h("div", { class: "grid" }, name && h("h3", {}, name), h("div", { class: "window" }, this.scroller, this.tip, this.message));
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerleave", () => this.leave());
    this.canvas.addEventListener("click", (event) => this.click(event));
    this.canvas.addEventListener("dblclick", () => this.over?.row !== undefined && set({ opened: { layer: state.layer, ...this.over } }));
    this.watch = new ResizeObserver(() => this.lay());
    this.watch.observe(this.scroller);
    dark.addEventListener("change", this.draw);
    this.ends = [
      on(["layer", "picture", "show", "scale", "epoch", "network"], () => this.load()),
      on(["sort"], () => this.arrange()),
      on(["unit"], () => this.select()),
      on(["place", "hover", "view", "made"], () => this.draw()),
      () => dark.removeEventListener("change", this.draw),
    ];
  }

  stop() {
    this.watch.disconnect();
    this.ends.forEach((end) => end());
  }

  async load() {
    const { layer, picture, show, epoch, session } = state;
    if (!layer || !picture) return;
    const lane = `units ${this.other}`;
    const why = lacking(show);
    if (why) {
      abort(`${lane} numbers`);
      abort(`${lane} sprite`);
      return this.fail(why);
    }
    const sheet = show !== "synthesised" || (!this.other && !epoch && session.sheets.includes(layer));
    if (!sheet) { // each is made when it is wanted
      abort(`${lane} numbers`);
      abort(`${lane} sprite`);
      const { shape: [channels], units = channels } = state.network.layers.find((one) => one.address === layer);
      Object.assign(this, { info: { channels: units, columns: 1, cell: [1, 1] }, sprite: null, layer });
      this.message.hidden = true;
      if (!this.other) set({ sprite: null });
      this.arrange();
      this.select();
      return;
    }
    const network = { other: this.other, epoch: this.other ? null : epoch, scale: scaled() === "own" ? "own" : null };
    const question = show === "activations" ? { layer, picture, ...network } : show === "filters" ? { layer, ...network } : { layer };
    this.scroller.setAttribute("aria-busy", "true");
    try {
      const [info, sprite] = await Promise.all([
        get(show, question, { lane: `${lane} numbers`, keep: true }),
        bitmap(`${show}.png`, question, { lane: `${lane} sprite` }),
      ]);
      if (!info || !sprite) return; // something newer is on its way
      this.message.hidden = true;
      this.sprite?.close?.();
      const fresh = this.layer !== layer;
      Object.assign(this, { info, sprite, layer, held: new Set(info.made) });
      if (fresh) this.scroller.scrollTop = 0;
      if (!this.other) set({ sprite: { layer, picture, show, info, bitmap: sprite } });
      this.arrange();
      this.select();
    } catch (error) {
      this.fail(error.message);
    } finally {
      this.scroller.removeAttribute("aria-busy");
    }
  }

  /** Say in place of the cells why there are none. */
  fail(...words) {
    Object.assign(this, { info: null, sprite: null, order: [] });
    clear(this.message, words);
    this.message.hidden = false;
    if (!this.other) set({ sprite: null });
    this.lay();
  }

  /** Put the units into their order. */
  arrange() {
    const { info } = this;
    if (!info) return;
    const by = { activation: info.maxima ?? info.values, mean: info.means, selectivity: info.selectivity }[state.sort];
    this.order = Array.from({ length: info.channels }, (_, unit) => unit);
    if (by) this.order.sort((one, two) => (by[two] ?? -Infinity) - (by[one] ?? -Infinity) || one - two);
    this.lay();
  }

  /** Work out where cells stand. */
  lay() {
    const { scroller, canvas } = this;
    const [width, height] = [scroller.clientWidth, scroller.clientHeight];
    if (!width || !height) return;
    const [tall, wide] = this.info?.cell ?? [1, 1];
    const most = Math.max(tall, wide);
    // as many columns as fit at the size asked for, then as large as fills the width
    this.columns = Math.max(1, Math.round((width + GAP) / (Grid.side * wide / most + GAP)));
    this.wide = Math.max(6, Math.floor((width + GAP) / this.columns) - GAP);
    this.tall = Math.max(6, Math.round(this.wide * tall / wide));
    this.figures = Grid.side >= ROOMY ? FIGURES : 0;
    this.rowHeight = this.tall + this.figures + GAP + (this.figures ? 2 : 0);
    const rows = Math.ceil(this.order.length / this.columns);
    this.space.style.height = `${Math.max(0, rows * this.rowHeight - height)}px`;
    const density = devicePixelRatio || 1;
    canvas.width = Math.round(width * density);
    canvas.height = Math.round(height * density);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    scroller.setAttribute("aria-rowcount", rows);
    scroller.setAttribute("aria-colcount", this.columns);
    this.name();
    this.draw();
  }

  paint() {
    const { canvas, sprite, info, columns, wide, tall, rowHeight, order } = this;
    const pen = canvas.getContext("2d", { alpha: false });
    const colours = palette();
    const density = devicePixelRatio || 1;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.fillStyle = colours.back;
    pen.fillRect(0, 0, canvas.width, canvas.height);
    const made = state.show === "synthesised";
    if ((!sprite && !made) || !info || !wide) return;
    pen.setTransform(density, 0, 0, density, 0, 0);
    const [high, broad] = info.cell;
    const photographs = state.show === "patches" || state.show === "synthesised";
    pen.imageSmoothingEnabled = photographs || wide * density < broad; // numbers keep hard edges unless they are made smaller
    const across = info.columns;
    const top = this.scroller.scrollTop;
    const first = Math.max(0, Math.floor(top / rowHeight));
    const last = Math.ceil((top + this.scroller.clientHeight) / rowHeight);
    pen.font = "10px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace";
    pen.textBaseline = "top";
    pen.fillStyle = colours.quiet;
    const focused = document.activeElement === this.scroller;
    const pale = signed(info) && state.show !== "patches";
    let chosen = null;
    for (let index = first * columns; index < Math.min(order.length, last * columns); index += 1) {
      const unit = order[index];
      const x = (index % columns) * (wide + GAP);
      const y = Math.floor(index / columns) * rowHeight - top;
      if (made && !(sprite && this.held.has(unit) && !pictureOf(unit, this.other))) this.synthesised(pen, unit, x, y, colours);
      else pen.drawImage(sprite, (unit % across) * broad, Math.floor(unit / across) * high, broad, high, x, y, wide, tall);
      if (pale) { // paper on paper: say where a cell ends
        pen.strokeStyle = colours.line;
        pen.lineWidth = 1;
        pen.strokeRect(x + 0.5, y + 0.5, wide - 1, tall - 1);
      }
      if (this.figures) {
        pen.fillStyle = unit === state.unit ? colours.accent : colours.quiet;
        pen.fillText(String(unit), x + 1, y + tall + 3);
      }
      if (unit === state.unit) chosen = [x, y, colours.accent, 2];
      if (focused && index === this.active) this.frame(pen, x, y, colours.fore, 1.5);
      if (index === this.over?.index) this.frame(pen, x, y, colours.partner, 1);
    }
    if (chosen) this.frame(pen, ...chosen);
    this.mark(pen, first, last, top, colours);
  }

  synthesised(pen, unit, x, y, colours) {
    const picture = pictureOf(unit, this.other);
    if (picture) return pen.drawImage(picture, x, y, this.wide, this.tall);
    pen.fillStyle = colours.track;
    pen.fillRect(x, y, this.wide, this.tall);
  }

  /** The units whose cells can be seen now. */
  inSight() {
    const { scroller, rowHeight, columns, order } = this;
    const first = Math.floor(scroller.scrollTop / rowHeight);
    const last = Math.ceil((scroller.scrollTop + scroller.clientHeight) / rowHeight);
    return order.slice(first * columns, last * columns);
  }

  /** Show on every map where the pointer stands on the picture, or on the one that it points into. */
  mark(pen, first, last, top, colours) {
    const { info, columns, wide, tall, rowHeight, order } = this;
    if (state.show !== "activations") return;
    const place = state.place?.row !== undefined ? state.place : null;
    const point = place ?? (this.over?.row === undefined ? null : this.over);
    if (!point) return;
    const [w, h2] = [wide / info.width, tall / info.height];
    pen.lineWidth = 1;
    for (let index = first * columns; index < Math.min(order.length, last * columns); index += 1) {
      if (!place && index !== this.over.index) continue;
      const x = (index % columns) * (wide + GAP) + point.col * w;
      const y = Math.floor(index / columns) * rowHeight - top + point.row * h2;
      const [px, py, pw, ph] = w < 4 ? [x + w / 2 - 2, y + h2 / 2 - 2, 4, 4] : [x, y, w, h2];
      pen.strokeStyle = "rgba(19,19,22,.7)";
      pen.strokeRect(px - 0.5, py - 0.5, pw + 1, ph + 1);
      pen.strokeStyle = colours.accent;
      pen.strokeRect(px + 0.5, py + 0.5, Math.max(1, pw - 1), Math.max(1, ph - 1));
    }
  }

  frame(pen, x, y, colour, width) {
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.strokeRect(x + width / 2, y + width / 2, this.wide - width, this.tall - width);
  }

  // --- pointing

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top + this.scroller.scrollTop];
    const [column, row] = [Math.floor(x / (this.wide + GAP)), Math.floor(y / this.rowHeight)];
    const index = row * this.columns + column;
    if (column >= this.columns || index >= this.order.length || !this.info) return null;
    const found = { index, unit: this.order[index] };
    const [inX, inY] = [x - column * (this.wide + GAP), y - row * this.rowHeight];
    if (state.show === "activations" && inX < this.wide && inY < this.tall) {
      found.row = Math.min(this.info.height - 1, Math.floor(inY / this.tall * this.info.height));
      found.col = Math.min(this.info.width - 1, Math.floor(inX / this.wide * this.info.width));
    }
    return found;
  }

  point(event) {
    this.pointer = { clientX: event.clientX, clientY: event.clientY };
    this.over = this.at(event);
    const { over } = this;
    set({ hover: over?.row === undefined ? null : { layer: state.layer, unit: over.unit, row: over.row, col: over.col, other: this.other } });
    this.tip.hidden = !over;
    if (over) {
      const most = (this.info.maxima ?? this.info.values)?.[over.unit];
      this.tip.textContent = `${over.unit}${over.row === undefined ? "" : ` @ ${over.row}, ${over.col}`}${most === undefined ? "" : ` · most ${number(most)}`}`;
      const box = this.node.getBoundingClientRect();
      this.tip.style.left = `${Math.min(event.clientX - box.left + 12, box.width - 150)}px`;
      this.tip.style.top = `${Math.min(event.clientY - box.top + 14, box.height - 28)}px`;
    }
    this.draw();
  }

  follow() {
    if (this.over && this.pointer) this.over = this.at(this.pointer);
  }

  leave() {
    this.over = null;
    this.tip.hidden = true;
    set({ hover: null });
    this.draw();
  }

  click(event) {
    const found = this.at(event);
    if (!found) return;
    this.active = found.index;
    if (event.altKey && found.row !== undefined) set({ opened: { layer: state.layer, unit: found.unit, row: found.row, col: found.col } });
    else write({ unit: found.unit });
    this.name();
  }

  // --- keys

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / this.rowHeight)) * this.columns;
    const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns, PageDown: page, PageUp: -page }[event.key];
    if (by !== undefined) this.go(this.active + by < 0 && Math.abs(by) > 1 ? this.active % this.columns : this.active + by);
    else if (event.key === "Home") this.go(0);
    else if (event.key === "End") this.go(this.order.length - 1);
    else if (event.key === "Enter" || event.key === " ") write({ unit: this.order[this.active] });
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  go(index) {
    this.active = Math.max(0, Math.min(this.order.length - 1, index));
    this.show(this.active);
    this.name();
    this.draw();
  }

  show(index) {
    const top = Math.floor(index / this.columns) * this.rowHeight;
    const { scroller } = this;
    if (top < scroller.scrollTop) scroller.scrollTop = top;
    else if (top + this.rowHeight > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top + this.rowHeight - scroller.clientHeight;
  }

  /** Mark the unit that the address names, and bring it into sight. */
  select() {
    const index = state.unit === null ? -1 : this.order.indexOf(state.unit);
    if (index >= 0) {
      this.active = index;
      this.show(index);
    } else this.active = Math.min(this.active, Math.max(0, this.order.length - 1));
    this.name();
    this.draw();
  }

  /** Say the cell that the keyboard is on. */
  name() {
    const unit = this.order[this.active];
    if (unit === undefined) return;
    const most = this.info?.maxima?.[unit];
    this.cell.textContent = `Unit ${unit}${most === undefined ? "" : `, greatest value ${number(most)}`}`;
    this.cell.setAttribute("aria-selected", String(unit === state.unit));
    this.cell.setAttribute("aria-colindex", (this.active % this.columns) + 1);
    this.cell.parentElement.setAttribute("aria-rowindex", Math.floor(this.active / this.columns) + 1);
  }
}
