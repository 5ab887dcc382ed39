// Makes elements and writes numbers. Knows nothing of networks.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element: h("button", {class: "quiet", onclick: go}, "Go"). What is null or false is left out. */
export const h = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

/** Make an SVG element. */
export const s = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

/** Empty a node, and fill it with others. */
export function clear(node, ...children) {
  node.replaceChildren(...children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false));
  return node;
}

/** A layer's address that may be broken after dots, so that long ones fit. */
export function address(text) {
  const code = h("code", { class: "address" });
  text.split(/(?<=[.:@])/).forEach((part, index) => code.append(...(index ? [h("wbr"), part] : [part])));
  return code;
}

/** Write a number with as many digits as it deserves. */
export function number(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) return value.toExponential(digits - 1).replace("e+", "e").replace("-", "−");
  const after = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  return value.toFixed(Math.min(after, 4)).replace("-", "−");
}

/** Write a large number short: 118 M, 5.61 G. */
export function short(value) {
  for (const [size, letter] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (value >= 0.9995 * size) {
      const scaled = value / size;
      return `${scaled.toFixed(scaled < 9.995 ? 2 : scaled < 99.95 ? 1 : 0)} ${letter}`;
    }
  }
  return String(value);
}

/** A probability as written in sentences. */
export const share = (value) => (value > 0.995 && value < 1 ? "0.99+" : value < 0.005 && value > 0 ? "<0.01" : value.toFixed(2));

/** The shape of a layer: 64 x 56 x 56. */
export const shape = (sizes) => sizes.join(" × ");

/** Call a function at most once a frame, with its latest arguments. */
export function framed(draw) {
  let latest = null;
  return (...args) => {
    if (latest === null) requestAnimationFrame(() => {
      const now = latest;
      latest = null;
      draw(...now);
    });
    latest = args;
  };
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "css") for (const [property, text] of Object.entries(value)) node.style.setProperty(property, text);
    else if (name === "value" || name === "checked" || name === "selected" || name === "indeterminate") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((one) => one !== null && one !== undefined && one !== false));
  return node;
}
