// Of an exported page: what all units answer at a place, and the arithmetic of one value, worked out from the numbers
// that were exported with it. What the server's `column` and `arithmetic` answer, from the same numbers. Touches no DOM.

const STRONGEST = 16; // channels of a column that are named
const APART = 1e-2; // of the largest product: beyond it, the layer does more than its window says

/** Make the answers. `answer(path, parameters)` gives what was kept for a question, `numbers(name)` a Float32Array. */
export const works = (answer, numbers) => {
  const of = ({ layer, picture, other, epoch }) => answer("numbers", { layer, picture, other, epoch });

  /** What all units of a layer answer at the place of a picture. */
  async function column(asked) {
    const kept = await of(asked);
    const [channels, high, wide] = kept.shape;
    const [row, col] = [asked.y, asked.x].map((share, axis) => nearest(Number(share), axis, kept));
    const maps = await numbers(kept.maps);
    const values = Array.from({ length: channels }, (_, unit) => maps[(unit * high + row) * wide + col]);
    const strongest = values.map((_, unit) => unit).sort((one, two) => values[two] - values[one] || one - two).slice(0, STRONGEST);
    return { row, col, values, strongest };
  }

  /** What one unit answers at one place of its map; null where its numbers were not exported. */
  async function value(asked) {
    try {
      const { maps, shape: [, high, wide] } = await of(asked);
      return (await numbers(maps))[(asked.unit * high + asked.row) * wide + asked.col];
    } catch {
      return null;
    }
  }

  /** One value worked out: window, kernel, products, sum. */
  async function arithmetic(asked) {
    const { layer, unit, row, col, other, epoch, shown } = asked;
    const [kept, window] = await Promise.all([of(asked), answer("window", { layer, other, epoch })]);
    const [maps, read, weight] = await Promise.all([kept.maps, kept.reads, window.weight].map((name) => name && numbers(name)));
    const [channels, high, wide] = kept.shape;
    if (unit >= channels || row >= high || col >= wide) throw new Error(`There is no unit ${unit}@${row},${col} in ${layer}.`);
    const own = maps[(unit * high + row) * wide + col];
    const name = window.mapped ? `${layer}:${unit}@${row},${col}` : `${layer}:${unit}`;
    const one = reading(window, kept, read, weight, [unit, row, col]);
    const total = one.products ? sum(one.products.map(flat)) + (one.bias ?? 0) : Math.max(...flat(one.values[0]).filter((_, at) => !flat(one.padding)[at]));
    const steps = [];
    for (const step of window.steps) steps.push({ name: step.name, value: Math.fround(FUNCTIONS[step.name](Math.fround(steps.at(-1)?.value ?? total), step)) });
    const answered = steps.at(-1)?.value ?? total;
    const error = Math.abs(answered - own);
    const every = one.products ?? one.values;
    const largest = [one.values, one.kernel, every].map((numbers_) => (numbers_ ? most(numbers_) : 0));
    if (error > APART * Math.max(largest[2], Math.abs(own), 1e-6)) {
      throw new Error(`${name} is ${Number(own.toPrecision(6))} in the network, while its window gives ${Number(answered.toPrecision(6))}: the ${window.layerKind} does more than that. Name a plain convolution.`);
    }
    const sums = one.products ? one.products.map((matrix) => sum([flat(matrix)])) : one.values.map((matrix) => Math.max(...flat(matrix).filter((_, at) => !flat(one.padding)[at])));
    const counts = one.products ? sums : one.values.map((matrix) => sum([flat(matrix)]));
    let best = counts.map((_, at) => at);
    if (best.length > Math.max(shown, 3)) best = best.sort((first, second) => Math.abs(counts[second]) - Math.abs(counts[first]) || first - second).slice(0, shown);
    const told = new Set(best);
    return {
      address: name, kind: window.kind, folded: window.folded, colour: window.colour, value: own, sum: total, error, bias: one.bias, steps, largest,
      sentence: sentence({ ...one, total, own, error, steps }),
      input: window.given, rows: one.rows, columns: one.columns, padding: one.padding, window: window.adaptive ? [one.rows.length, one.columns.length] : window.kernel,
      channels: one.channels.length, rest: one.products ? sum([sums.filter((_, at) => !told.has(at))]) : 0,
      parts: best.map((at) => ({ channel: one.channels[at], sum: sums[at], values: one.values[at], kernel: one.kernel?.[at] ?? null, products: one.products?.[at] ?? null })),
      field: window.fields && [window.fields.rows[row][0], window.fields.columns[col][0], window.fields.rows[row][1], window.fields.columns[col][1]],
    };
  }

  return { column, value, arithmetic };
};

/** The unit whose window has its middle nearest to a share of the picture. */
function nearest(share, axis, { shape, size, part, input, axes }) {
  const place = (share * size[axis] - part[axis]) * input[axis] / (part[axis + 2] - part[axis]);
  const units = shape[axis + 1];
  let unit = Math.floor(place / input[axis] * units);
  if (axes[axis]) {
    const [middle, jump] = axes[axis];
    unit = jump === 0 ? 0 : Math.floor((place - middle) / jump + 0.5);
  }
  return Math.min(Math.max(unit, 0), units - 1);
}

/** What one window reads, with what it is multiplied with: values, kernel and products as channels of rows. */
function reading(window, kept, read, weight, [unit, row, col]) {
  const { operand, origin, given } = window;
  const [, high, wide] = kept.readShape;
  const taps = [row, col].map((at, axis) => along(window, axis, at, kept.shape[axis + 1]));
  const held = taps.map((list, axis) => list.map((tap) => tap >= 0 && tap < operand[axis + 1]));
  const rows = taps[0].map((tap) => tap - origin[0]);
  const columns = taps[1].map((tap) => tap - origin[1]);
  const depth = kept.readShape[0];
  const group = weight ? window.weightShape[1] : 1;
  const first = weight ? Math.floor(unit / (window.weightShape[0] / window.groups)) * group : unit;
  const channels = Array.from({ length: weight ? group : 1 }, (_, at) => first + at).filter((channel) => channel < depth);
  const inside = (at, size) => at >= 0 && at < size;
  const values = channels.map((channel) => taps[0].map((tap, y) => taps[1].map((other, x) => {
    const [down, across] = [tap - kept.frame[0], other - kept.frame[1]];
    return held[0][y] && held[1][x] && inside(down, high) && inside(across, wide) ? read[(channel * high + down) * wide + across] : 0;
  })));
  const padding = rows.map((y) => columns.map((x) => !(inside(y, given[1]) && inside(x, given[2]))));
  let kernel = null;
  if (weight) {
    const [, , tall, broad] = window.weightShape;
    const scale = window.scale?.[unit] ?? 1;
    kernel = channels.map((_, at) => Array.from({ length: tall }, (__, y) => Array.from({ length: broad }, (___, x) => weight[((unit * group + at) * tall + y) * broad + x] * scale)));
  } else if (window.operation === "average") {
    const counted = taps.map((list, axis) => list.map((tap) => tap >= -window.padding[axis] && tap < operand[axis + 1] + window.padding[axis]));
    const counting = (y, x) => (window.countsPadding ? counted[0][y] && counted[1][x] : held[0][y] && held[1][x]);
    const marks = taps[0].map((_, y) => taps[1].map((__, x) => (counting(y, x) ? 1 : 0)));
    const shared = window.divisor || sum([flat(marks)]);
    kernel = [marks.map((line) => line.map((mark) => mark / shared))];
  }
  const products = kernel && values.map((matrix, at) => matrix.map((line, y) => line.map((value, x) => value * kernel[at][y][x])));
  return { values, kernel, products, padding, rows, columns, channels, bias: window.bias?.[unit] ?? null };
}

/** The places along one axis that a unit reads; outside the operand lies padding. */
function along({ adaptive, operand, stride, padding, dilation, kernel }, axis, unit, outputs) {
  if (adaptive) {
    const length = operand[axis + 1];
    const [start, stop] = [Math.floor(unit * length / outputs), Math.ceil((unit + 1) * length / outputs)];
    return Array.from({ length: stop - start }, (_, tap) => start + tap);
  }
  const first = unit * stride[axis] - padding[axis];
  return Array.from({ length: kernel[axis] }, (_, tap) => first + dilation[axis] * tap);
}

const flat = (matrix) => matrix.flat();
const sum = (lists) => lists.reduce((all, list) => all + list.reduce((part, one) => part + one, 0), 0);
const most = (channels) => channels.reduce((large, matrix) => matrix.reduce((high, line) => line.reduce((top, one) => Math.max(top, Math.abs(one)), high), large), 0);

// functions of single values, by the class of the module; its attributes come along, in single precision as the network has them
const sigmoid = (value) => 1 / (1 + Math.exp(-value));
const hard = (value) => Math.min(Math.max(value + 3, 0), 6) / 6;
const FUNCTIONS = {
  ReLU: (value) => Math.max(value, 0), ReLU6: (value) => Math.min(Math.max(value, 0), 6),
  LeakyReLU: (value, { negative_slope: slope }) => (value > 0 ? value : Math.fround(slope) * value), ELU: (value, { alpha }) => (value > 0 ? value : Math.fround(alpha) * Math.expm1(value)),
  Hardtanh: (value, { min_val: low, max_val: high }) => Math.min(Math.max(value, Math.fround(low)), Math.fround(high)),
  Sigmoid: sigmoid, Tanh: Math.tanh, ScaledTanh: (value) => 1.7159 * Math.tanh(value * (2 / 3)),
  SiLU: (value) => value * sigmoid(value), Swish: (value) => value * sigmoid(value),
  Hardsigmoid: hard, HardSigmoid: hard, Hardswish: (value) => value * hard(value), HardSwish: (value) => value * hard(value),
};

// --- in words, as the library writes them

/** Write a number with so many digits, and no zeros at its end. */
export function figure(value, digits = 3) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e7) {
    const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
    return `${bare(mantissa)}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
  }
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  const [whole, rest] = fixed(value, decimals).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return rest === undefined ? grouped : bare(`${grouped}.${rest}`);
}

/** Round as Python does: what lies half-way between two goes to the even one. */
export function fixed(value, digits) {
  const text = value.toFixed(digits);
  const twice = value * 2 * 10 ** digits;
  if (!Number.isInteger(value * 2 ** (digits + 1)) || Math.abs(twice % 2) !== 1) return text; // no tie
  const even = 2 * Math.round(twice / 4) / 10 ** digits;
  return even.toFixed(digits);
}

const bare = (text) => (text.includes(".") ? text.replace(/0+$/, "").replace(/\.$/, "") : text);
export const count = (many, one) => `${many.toLocaleString("en")} ${many === 1 ? one : `${one}s`}`;

function sentence({ values, kernel, padding, bias, total, own, error, steps }) {
  const apart = error === 0 ? "the same" : `${figure(error, 1)} apart`;
  const end = `${steps.map(({ name, value }) => `${name} makes that ${figure(value, 4)}; `).join("")}the network says ${figure(own, 4)} (${apart}).`;
  if (!kernel) return `The largest of ${count(flat(padding).filter((one) => !one).length, "value")} is ${figure(total, 4)}; ${end}`;
  const size = values.length * values[0].length * values[0][0].length;
  return `${count(size, "product")}${bias === null ? "" : " and the bias"} ${size > 1 || bias !== null ? "add" : "adds"} up to ${figure(total, 4)}; ${end}`;
}
