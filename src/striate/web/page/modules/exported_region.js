// Of an exported page: what the pictures of a region of the map have in common, from the classes and features that were
// exported with it. What the server's `map/region` answers, from the same numbers. Touches no DOM.

import { count, fixed } from "./exported_numbers.js";

const MOST = 6; // classes and units of each kind
const ROWS = 4096; // of features whose mean the sums are taken around, so that squares keep their digits

/** Say what some pictures have in common. `map` is the map that they were chosen on, `kept` what was exported for it. */
export function region(chosen, map, kept, features) {
  const place = new Map(map.pictures.map((picture, index) => [picture, index]));
  const pictures = [...new Set(chosen)];
  const shares = (name, classes, names) => {
    const all = kept[name];
    if (!all || !classes) return [];
    const counts = new Map();
    for (const picture of pictures) {
      const one = classes[place.get(picture)];
      if (one >= 0) counts.set(one, (counts.get(one) ?? 0) + 1);
    }
    const few = [...counts.values()].reduce((sum, one) => sum + one, 0);
    const many = Object.values(all).reduce((sum, one) => sum + one, 0);
    return [...counts].sort(([one, more], [two, less]) => less - more || one - two).slice(0, MOST)
      .map(([index, found]) => ({ index, name: names[index] ?? `class ${index}`, count: found, share: found / few, everywhere: all[index] / many }));
  };
  const labels = shares("labels", map.labels, map.label_names);
  const predictions = shares("predictions", map.predictions, map.class_names);
  const units = features && pictures.length < kept.total ? stronger(pictures, kept, features) : [];
  let text = `${count(pictures.length, "picture")} of ${kept.total.toLocaleString("en")}.`;
  for (const [[first], verb] of [[labels, "are of"], [predictions, "are taken for"]]) {
    if (!first?.name) continue;
    if (first.count > 1) text += ` ${first.count} ${verb} ${first.name} (${percent(first.share)}, ${percent(first.everywhere)} of all).`;
    else if (pictures.length > 1) text += ` No two ${verb} one class.`;
  }
  return { pictures: pictures.length, of: kept.total, sentence: kept.missing ? `${text} ${kept.missing}` : text, labels, predictions, units };
}

const percent = (share) => `${fixed(100 * share, share >= 0.1 ? 0 : 1)} %`;

/** Compare the means of the features inside and outside, in standard deviations of all. */
function stronger(pictures, { shape: [total, width], layer, called }, features) {
  const centre = new Float64Array(width);
  const head = Math.min(ROWS, total);
  for (let row = 0; row < head; row += 1) for (let unit = 0; unit < width; unit += 1) centre[unit] += features[row * width + unit] / head;
  const [sums, squares, own] = [0, 1, 2].map(() => new Float64Array(width));
  for (let row = 0; row < total; row += 1) for (let unit = 0; unit < width; unit += 1) {
    const value = features[row * width + unit] - centre[unit];
    sums[unit] += value;
    squares[unit] += value * value;
  }
  for (const row of pictures) for (let unit = 0; unit < width; unit += 1) own[unit] += features[row * width + unit] - centre[unit];
  const few = pictures.length;
  const found = [];
  for (let unit = 0; unit < width; unit += 1) {
    const spread = Math.sqrt(Math.max(squares[unit] / total - (sums[unit] / total) ** 2, 0));
    const inside = own[unit] / few + centre[unit];
    const outside = (sums[unit] - own[unit]) / (total - few) + centre[unit];
    const effect = spread > 1e-9 * Math.max(Math.abs(centre[unit]), 1e-30) ? (inside - outside) / spread : 0;
    if (effect > 0 && Number.isFinite(effect)) found.push({ address: `${layer}:${unit}`, layer: called, unit, inside, outside, effect });
  }
  return found.sort((one, two) => two.effect - one.effect || one.unit - two.unit).slice(0, MOST);
}
