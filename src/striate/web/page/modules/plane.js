// Many pictures in the plane, on a canvas: where each lies, what is in sight, how it is drawn. Asks the server nothing.

export const PIECE = 256; // thumbnails on one sheet
export const SIDE = 32; // px of a thumbnail on its sheet
const LEAST = 3; // px of a point
const NEAR = 14; // px within which a point is meant
const EDGE = 56; // px around all pictures at scale 1
const FARTHEST = 60; // times the whole map
const OKABE = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7"];

/** What holds `stage`, `canvas`, `draw` (paint in the next frame), and, once there are pictures, `data`, `x`, `y`. */
export class Plane {
  // --- where

  fit() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    if (!width || !height) return;
    const density = devicePixelRatio || 1;
    const first = !this.width;
    Object.assign(this, { width, height, density });
    this.canvas.width = Math.round(width * density);
    this.canvas.height = Math.round(height * density);
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    if (first || this.scale === 1) this.home(); // all of it was in sight, and stays so
    this.draw();
  }

  home() {
    this.scale = 1;
    const side = this.span();
    const [wide, tall] = this.spans ?? [1, 1];
    this.left = (this.width - side * wide) / 2;
    this.top = (this.height - side * tall) / 2;
    this.draw();
  }

  /** Pixels of the longer span at scale 1: all is in sight, with room for pictures at the border. */
  span() {
    const [wide, tall] = this.spans ?? [1, 1];
    return Math.max(40, Math.min(((this.width ?? 0) - EDGE) / wide, ((this.height ?? 0) - EDGE) / tall));
  }

  spot(index) {
    const side = this.span() * this.scale;
    return [this.left + this.x[index] * side, this.top + this.y[index] * side];
  }

  zoom(by, x = this.width / 2, y = this.height / 2) {
    const next = Math.max(0.5, Math.min(FARTHEST, this.scale * by));
    const factor = next / this.scale;
    this.left = x - (x - this.left) * factor;
    this.top = y - (y - this.top) * factor;
    this.scale = next;
    this.draw();
  }

  move(x, y) {
    this.left += x;
    this.top += y;
    this.draw();
  }

  /** Bring a picture into sight. */
  show(index) {
    const [x, y] = this.spot(index);
    if (x < 24 || y < 24 || x > this.width - 24 || y > this.height - 24) this.move(this.width / 2 - x, this.height / 2 - y);
  }

  find(x, y) {
    let best = null;
    let least = Math.max(NEAR, this.grown() / 2) ** 2;
    for (let index = 0; index < this.count; index += 1) {
      const [px, py] = this.spot(index);
      const far = (px - x) ** 2 + (py - y) ** 2;
      // of two that lie over one another the one that is drawn is meant
      if (far < least && (this.drawn.has(index) || far < 49)) [best, least] = [index, far];
    }
    return best;
  }

  /** Pixels of a thumbnail: they grow as one comes nearer, but slower than the distances. */
  grown() {
    return this.size === 0 ? 0 : Math.min(160, this.size * this.scale ** 0.35);
  }

  // --- drawing

  paint() {
    const { canvas, density, width, height, data } = this;
    if (!width) return;
    const pen = canvas.getContext("2d", { alpha: false });
    const style = getComputedStyle(document.documentElement);
    const [back, fore, accent, quiet] = ["--back", "--fore", "--accent", "--quiet"].map((name) => style.getPropertyValue(name).trim());
    pen.setTransform(density, 0, 0, density, 0, 0);
    pen.fillStyle = back;
    pen.fillRect(0, 0, width, height);
    this.drawn = new Set();
    if (!data) return;
    const side = this.grown();
    const picked = this.chosen.size > 0;
    const shown = [];
    // a picture is drawn where none lies yet; the others stay points until one comes nearer
    const taken = new Map();
    const room = Math.max(1, side * 0.92);
    const first = [...(this.one === null ? [] : [this.one]), ...this.near, ...this.chosen];
    const before = new Set(first);
    const try_ = (index, always) => {
      const [x, y] = this.spot(index);
      if (x < -side || y < -side || x > width + side || y > height + side) return;
      if (!side || !this.cell(index)) return void shown.push([index, x, y, false]);
      const [column, row] = [Math.floor(x / room), Math.floor(y / room)];
      let free = true;
      for (let down = -1; free && down <= 1; down += 1) for (let right = -1; free && right <= 1; right += 1) {
        const other = taken.get(`${column + right} ${row + down}`);
        if (other && Math.abs(other[0] - x) < room && Math.abs(other[1] - y) < room) free = false;
      }
      if (free || always) {
        taken.set(`${column} ${row}`, [x, y]);
        this.drawn.add(index);
      }
      shown.push([index, x, y, free || always]);
    };
    const sure = new Set([this.one, ...this.near]); // these are what is asked about
    first.forEach((index) => try_(index, sure.has(index)));
    for (let index = 0; index < this.count; index += 1) if (!before.has(index)) try_(index, false);
    pen.imageSmoothingEnabled = true;
    for (const [index, x, y, whole] of shown) if (!whole) this.point(pen, index, x, y, picked, quiet);
    for (let at = shown.length - 1; at >= 0; at -= 1) {
      const [index, x, y, whole] = shown[at];
      if (!whole) continue;
      const [sheet, sx, sy] = this.cell(index);
      pen.globalAlpha = picked && !this.chosen.has(index) ? 0.25 : 1;
      pen.drawImage(sheet, sx, sy, SIDE, SIDE, x - side / 2, y - side / 2, side, side);
      pen.globalAlpha = 1;
      if (this.chosen.has(index) || this.near.includes(index)) frame(pen, x, y, side, this.near.includes(index) ? style.getPropertyValue("--partner").trim() : accent, 1.5);
    }
    for (const index of [this.over, this.one]) if (index !== null && index < this.count) {
      const [x, y] = this.spot(index);
      frame(pen, x, y, Math.max(side, 10), index === this.one ? accent : fore, 2);
    }
    if (this.rope?.length > 1) {
      pen.beginPath();
      this.rope.forEach(([x, y], index) => (index ? pen.lineTo(x, y) : pen.moveTo(x, y)));
      pen.closePath();
      pen.fillStyle = accent;
      pen.globalAlpha = 0.1;
      pen.fill();
      pen.globalAlpha = 1;
      pen.strokeStyle = accent;
      pen.lineWidth = 1.5;
      pen.stroke();
    }
  }

  point(pen, index, x, y, picked, quiet) {
    const dim = picked && !this.chosen.has(index);
    pen.globalAlpha = dim ? 0.3 : 1;
    pen.fillStyle = this.colours[this.colour]?.get((this.data[this.colour] ?? this.data.predictions)[index]) ?? quiet;
    pen.beginPath();
    pen.arc(x, y, Math.min(6, LEAST + this.scale ** 0.25 - 1), 0, 7);
    pen.fill();
    pen.globalAlpha = 1;
  }

  /** Sheet and corner of a picture's thumbnail, or null while it is on its way. */
  cell(index) {
    const picture = this.data.pictures[index];
    const sheet = this.sheets[Math.floor(picture / PIECE)];
    if (!sheet) return null;
    const columns = sheet.width / SIDE;
    const at = picture % PIECE;
    return [sheet, (at % columns) * SIDE, Math.floor(at / columns) * SIDE];
  }
}

function frame(pen, x, y, side, colour, width) {
  pen.strokeStyle = "rgba(19, 19, 22, .6)";
  pen.lineWidth = width + 2;
  pen.strokeRect(x - side / 2, y - side / 2, side, side);
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.strokeRect(x - side / 2, y - side / 2, side, side);
}

/** Whether a place lies inside a closed line, by the crossings of a ray. */
export function within(rope, x, y) {
  let inside = false;
  for (let index = 0, last = rope.length - 1; index < rope.length; last = index, index += 1) {
    const [[ax, ay], [bx, by]] = [rope[index], rope[last]];
    if ((ay > y) !== (by > y) && x < (bx - ax) * (y - ay) / (by - ay) + ax) inside = !inside;
  }
  return inside;
}

/** A colour for each of the most frequent classes where there are few; else none, for nobody tells hundreds apart. */
export function colours(data) {
  const table = {};
  for (const kind of ["labels", "predictions"]) {
    const counts = new Map();
    for (const one of data[kind] ?? []) if (one >= 0) counts.set(one, (counts.get(one) ?? 0) + 1);
    const order = [...counts].sort(([one, few], [two, many]) => many - few || one - two);
    table[kind] = new Map(order.length <= OKABE.length + 5 ? order.slice(0, OKABE.length).map(([one], index) => [one, OKABE[index]]) : []);
  }
  return table;
}
