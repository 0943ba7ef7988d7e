// Says what a number is over the page; without scripts its link leads to the list at the end.
(() => {
  const box = document.getElementById("number");
  const list = box.querySelector("dl");
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a.number");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const keys = link.dataset.keys?.split(" ") ?? [link.getAttribute("href").slice(3)];
    list.replaceChildren(...keys.map((key) => {
      const entry = document.getElementById(`n-${key}`).cloneNode(true);
      entry.removeAttribute("id");
      return entry;
    }));
    box.showModal();
    list.focus(); // at its beginning, not at the button that closes it
    box.scrollTop = 0;
  });
  box.addEventListener("click", (event) => {
    if (event.target === box || event.target.closest("button")) box.close();
  });
})();
