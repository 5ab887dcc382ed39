// The page's colours for what is drawn on a canvas, by day or by night.

/** Tells whether it is night, and when that changes. */
export const dark = matchMedia("(prefers-color-scheme: dark)");
const palettes = new Map();

/** The page's colours, as the style sheet has them by day or by night; read once each. */
export function palette() {
  if (!palettes.has(dark.matches)) {
    const style = getComputedStyle(document.documentElement);
    const names = ["back", "fore", "quiet", "line", "track", "accent", "partner"];
    palettes.set(dark.matches, Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()])));
  }
  return palettes.get(dark.matches);
}
