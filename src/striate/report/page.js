// The three switches above the explanations. Without this file the page shows overlays on one scale.
for (const form of document.querySelectorAll("form.switches")) {
  const explained = form.parentElement.querySelector(".explained");
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  const show = () => {
    explained.dataset.view = form.elements.view.value;
    explained.dataset.scale = form.elements.scale.value;
    explained.style.setProperty("--opacity", form.elements.opacity.value / 100);
  };
  form.addEventListener("input", show);
  show(); // a reloaded page keeps what was chosen
}
