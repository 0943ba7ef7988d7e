// What is wider than the screen can be scrolled by keyboard; what fits is no stop on the way.
(() => {
  const wide = [...document.querySelectorAll("table, .charts .first")];
  const reach = () => {
    for (const box of wide) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  };
  addEventListener("resize", reach);
  document.addEventListener("toggle", reach, true);
  reach();
})();

// Filters the findings; without scripts the page shows all of them.
(() => {
  const bar = document.querySelector(".filter");
  if (!bar) return;
  bar.hidden = false;
  const buttons = [...bar.querySelectorAll("button")];
  const confirmed = bar.querySelector("#confirmed");
  let mode = "";
  const apply = () => {
    const cards = [...document.querySelectorAll(".card")];
    for (const card of cards) {
      const wanted = (!mode || card.dataset.mode === mode) &&
        (!confirmed.checked || card.dataset.confirmed === "yes");
      card.hidden = !wanted;
    }
    // Said by screen readers, too.
    bar.querySelector("output").textContent =
      `${cards.filter((card) => !card.hidden).length} of ${cards.length} shown`;
  };
  for (const button of buttons) {
    button.addEventListener("click", () => {
      mode = button.dataset.mode;
      for (const other of buttons) other.setAttribute("aria-pressed", other === button);
      apply();
    });
  }
  confirmed.addEventListener("change", apply);
  apply();
})();
