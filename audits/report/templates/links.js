// MLflow shows the page in a sandboxed frame, where a browser follows no link.
if (location.protocol === "blob:") {
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href]:not([href*="/"])');
    if (!link || event.defaultPrevented) return;
    event.preventDefault();
    const [file, id] = link.getAttribute("href").split("#");
    // Of the report and the page of components, each is in the same list of files as the other.
    if (file) {
      if (!link.nextElementSibling?.matches(".aside")) {
        const aside = document.createElement("span");
        aside.className = "aside dim";
        aside.textContent = ` (choose ${file} in MLflow’s list of files) `;
        link.after(aside);
      }
      return;
    }
    const place = document.getElementById(id);
    place.tabIndex = -1;
    place.focus({ preventScroll: true });
    place.scrollIntoView();
  });
}
