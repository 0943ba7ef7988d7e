// MLflow shows the page in a sandboxed frame, where a browser follows no link within it.
if (location.protocol === "blob:") {
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (!link || event.defaultPrevented) return;
    event.preventDefault();
    const place = document.getElementById(link.getAttribute("href").slice(1));
    place.tabIndex = -1;
    place.focus({ preventScroll: true });
    place.scrollIntoView();
  });
}
