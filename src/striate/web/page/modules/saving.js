// The present view as files that open without a server: the command that writes them, or the same as a zip.

import { format, read } from "./address.js";
import { file } from "./api.js";
import { h } from "./dom.js";
import { state } from "./state.js";

/** The button, where there is a server that can write them. */
export const saver = () => !state.session.exported && h("button", {
  class: "round", "aria-label": "Save this view as files", title: "Save this view as files", onclick: ask,
}, "↓");

function ask() {
  const view = format(read());
  const { name } = state.session.network;
  const source = /^[\w@%+=:,./-]+$/.test(name) ? name : `'${name.replaceAll("'", `'"'"'`)}'`; // it is to be pasted into a shell
  const command = `striate export ${source} --view '${view.replaceAll("'", "%27")}' --out page`;
  const words = h("p", { class: "words", role: "status" });
  const get = h("button", { class: "small main", onclick: () => save(view, get, words) }, "Save as a zip");
  const dialog = h("dialog", { class: "saving", "aria-label": "Save this view as files" },
    h("header", {}, h("h2", {}, "This view as files"), h("button", { class: "round", "aria-label": "Close", title: "Close (Esc)", onclick: () => dialog.close() }, "×")),
    h("p", {}, "A folder that opens by a double click on its index.html and from any web server, with no network behind it. It holds what this view shows of this picture."),
    h("p", { class: "tools" }, get), words,
    h("p", { class: "quiet" }, "Or at a terminal, with the same source, --pictures, --atlas and --compare as here; there, covers are worked out as well:"),
    h("p", {}, h("code", {}, command)));
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  document.body.append(dialog);
  dialog.showModal();
}

async function save(view, button, words) {
  if (button.getAttribute("aria-disabled") === "true") return; // it keeps the focus, which a disabled one would lose
  button.setAttribute("aria-disabled", "true");
  words.textContent = "Asking the network for all of it …";
  try {
    const found = await file("export.zip", { view });
    const address = URL.createObjectURL(found);
    h("a", { href: address, download: "striate.zip" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
    words.textContent = `striate.zip, ${(found.size / 1e6).toFixed(1)} MB. Unpack it, and open striate/index.html.`;
  } catch (error) {
    words.textContent = error.message;
  } finally {
    button.setAttribute("aria-disabled", "false");
  }
}
