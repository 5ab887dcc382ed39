// The training that the network came from: its curves, and a slider over the networks that were kept.

import { write } from "./address.js";
import { get } from "./api.js";
import { clear, framed, h, number, s } from "./dom.js";
import { on, say, state } from "./state.js";

const SIZE = { width: 420, height: 190, left: 46, right: 10, top: 10, bottom: 24 };
const EVERY = 5000; // ms between two looks at a training that goes on
let run = null;
let timer = null;

export function mount(panel) {
  on(["view", "session"], ({ view, session }) => {
    clearTimeout(timer);
    if (view === "run" && session) load(panel);
  });
  on(["epoch"], () => { if (run) mark(panel); });
  on(["epoch", "picture", "view", "target"], () => { if (run && state.view === "run") said(panel.querySelector(".growth")); });
}

async function load(panel) {
  try {
    const found = await get("runs", {}, { lane: "runs" });
    if (!found) return;
    const fresh = JSON.stringify(found) !== JSON.stringify(run);
    run = found;
    if (fresh || !panel.hasChildNodes()) draw(panel);
    if (!run.finished && state.view === "run") timer = setTimeout(() => load(panel), EVERY);
  } catch (error) {
    clear(panel, h("p", { class: "message" }, error.message));
  }
}

function draw(panel) {
  const { history, checkpoints } = run;
  const growth = h("div", { class: "growth" });
  clear(panel,
    h("header", { class: "bar" }, h("h2", {}, run.name, h("small", {}, run.sentence))),
    h("div", { class: "course" },
      h("p", { class: "sentence" }, run.verdict),
      history.length > 0 && h("div", { class: "curves" },
        chart("Loss", history, ["train_loss", "validation_loss"], { low: 0 }),
        chart("Accuracy", history, ["train_accuracy", "validation_accuracy"], { low: 0, high: 1, write: (value) => `${Math.round(value * 100)} %` })),
      checkpoints.length > 0 && slider(),
      growth,
      history.length > 0 && table(history),
      run.notes.length > 0 && h("details", {}, h("summary", {}, "What was decided on the way"), h("ul", { class: "notes" }, run.notes.map((words) => h("li", {}, words))))));
  mark(panel);
  said(growth);
}

// --- curves

function chart(title, history, keys, { low, high, write: words = (value) => number(value, 2) }) {
  const { width, height, left, right, top, bottom } = SIZE;
  const values = keys.flatMap((key) => history.map((one) => one[key])).filter((value) => value !== null && Number.isFinite(value));
  const most = high ?? Math.max(...values, 1e-9) * 1.05;
  const last = Math.max(history.at(-1).epoch, ...run.checkpoints, 1);
  const x = (epoch) => left + (width - left - right) * epoch / last;
  const y = (value) => height - bottom - (height - top - bottom) * (value - low) / (most - low);
  const ticks = nice(low, most, 4);
  const steps = nice(0, last, 6).filter(Number.isInteger);
  const line = (key, kind) => {
    const points = history.filter((one) => one[key] !== null && Number.isFinite(one[key]));
    if (!points.length) return [];
    return [s("path", { class: `line ${kind}`, d: points.map((one, index) => `${index ? "L" : "M"}${x(one.epoch).toFixed(1)} ${y(Math.min(one[key], most)).toFixed(1)}`).join("") }),
      ...points.map((one) => s("circle", { class: kind, cx: x(one.epoch), cy: y(Math.min(one[key], most)), r: history.length > 40 ? 1 : 2.5 }, s("title", {}, `epoch ${one.epoch}: ${words(one[key])}`)))];
  };
  const best = run.best;
  const end = history.at(-1);
  const read = (key) => (end[key] === null ? "none" : words(end[key]));
  return h("figure", {},
    h("figcaption", {}, h("strong", {}, title), h("span", { class: "key train" }, "training"), h("span", { class: "key validation" }, "validation")),
    s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title} over ${history.length} epochs; at the end ${read(keys[0])} in training, ${read(keys[1])} in validation` },
      ticks.map((value) => [s("path", { class: "rule", d: `M${left} ${y(value)}H${width - right}` }), s("text", { class: "end", x: left - 8, y: y(value) + 4 }, words(value))]).flat(),
      steps.map((epoch) => s("text", { class: "middle", x: x(epoch), y: height - 6 }, String(epoch))),
      best !== null && [s("path", { class: "best", d: `M${x(best)} ${top}V${height - bottom}` }, s("title", {}, `best: epoch ${best}`))],
      s("path", { class: "now", "data-left": left, "data-across": width - left - right, "data-last": last, d: "" }),
      line(keys[0], "train"), line(keys[1], "validation")));
}

function nice(low, high, about) {
  const rough = (high - low) / about;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((one) => one * size >= rough) * size;
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-6; value += step) found.push(Number(value.toPrecision(12)));
  return found;
}

// --- the slider

function slider() {
  const { checkpoints } = run;
  const words = h("output", { id: "epoch-words" });
  const range = h("input", { type: "range", id: "epoch", min: 0, max: checkpoints.length, step: 1, "aria-label": "Epoch that the page shows", "aria-describedby": "epoch-words" });
  const go = framed((at) => write({ epoch: at >= checkpoints.length ? null : String(checkpoints[at]) }, { replace: true }));
  range.addEventListener("input", () => { tell(range, words, Number(range.value)); go(Number(range.value)); });
  return h("div", { class: "epochs" }, h("label", { for: "epoch" }, "The page shows"), range, words);
}

function tell(range, words, at) {
  const { checkpoints, best } = run;
  const text = at >= checkpoints.length ? `the network that was kept${best === null ? "" : ` (epoch ${best}, the best)`}` : checkpoints[at] === 0 ? "the network before training" : `the network after epoch ${checkpoints[at]}`;
  words.textContent = text;
  range.setAttribute("aria-valuetext", text);
}

function mark(panel) {
  const range = panel.querySelector("#epoch");
  if (!range) return;
  const at = state.epoch === null ? run.checkpoints.length : run.checkpoints.indexOf(Number(state.epoch));
  if (at < 0) return void say(`No network of epoch ${state.epoch} was kept.`);
  range.value = at;
  tell(range, panel.querySelector("#epoch-words"), at);
  for (const line of panel.querySelectorAll("path.now")) {
    const { left, across, last } = line.dataset;
    line.setAttribute("d", state.epoch === null ? "" : `M${Number(left) + across * state.epoch / last} ${SIZE.top}V${SIZE.height - SIZE.bottom}`);
  }
}

// --- what the networks on the way say of the picture

async function said(place) {
  const { picture, session } = state;
  if (!place || !picture || !run.checkpoints.length || state.view !== "run") return;
  const asked = `${picture} ${run.checkpoints}`;
  if (place.dataset.asked !== asked) {
    place.dataset.asked = asked;
    try {
      const answers = await Promise.all(run.checkpoints.map((epoch) => get("predictions", { picture, epoch, top: 10 }, { keep: true })));
      if (place.dataset.asked === asked) place.replaceChildren(...grown(answers, session.pictures.find((one) => one.id === picture)?.name));
    } catch (error) {
      place.replaceChildren(h("p", { class: "quiet" }, error.message));
    }
  }
  for (const column of place.querySelectorAll("[data-epoch]")) column.classList.toggle("chosen", column.dataset.epoch === state.epoch);
}

function grown(answers, name) {
  const last = answers.at(-1).classes;
  const shown = last.slice(0, 5);
  return [h("h3", {}, `What they say of ${name ?? "the picture"}`),
    h("table", { class: "grown" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "after epoch"), run.checkpoints.map((epoch) => h("th", { scope: "col", "data-epoch": epoch }, h("button", { class: "link", onclick: () => write({ epoch: String(epoch) }) }, String(epoch)))))),
      h("tbody", {}, shown.map(({ index, name: label }) => h("tr", {}, h("th", { scope: "row" }, label), answers.map(({ classes }, place) => {
        const found = classes.find((one) => one.index === index);
        const p = found?.probability ?? 0;
        return h("td", { "data-epoch": run.checkpoints[place] }, h("i", { css: { width: `${Math.round(p * 56)}px` } }), h("span", {}, found ? p.toFixed(2) : "–"));
      })))))];
}

// --- the numbers

function table(history) {
  const share = (value) => (value === null ? "–" : `${(100 * value).toFixed(1)} %`);
  return h("details", {}, h("summary", {}, "All epochs in numbers"), h("div", { class: "scroll" }, h("table", { class: "epochs-table" },
    h("thead", {}, h("tr", {}, ["Epoch", "Training loss", "accuracy", "Validation loss", "accuracy", "Rate", "Seconds"].map((words) => h("th", { scope: "col" }, words)))),
    h("tbody", {}, history.map((one) => h("tr", { class: one.epoch === run.best ? "chosen" : null },
      h("th", { scope: "row" }, String(one.epoch)), h("td", {}, number(one.train_loss)), h("td", {}, share(one.train_accuracy)), h("td", {}, number(one.validation_loss)), h("td", {}, share(one.validation_accuracy)),
      h("td", {}, number(one.rate)), h("td", {}, number(one.seconds))))))));
}
