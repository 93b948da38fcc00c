// On every page. Light or dark: the system's choice unless the person made one. Menus that close
// when one clicks elsewhere or presses Escape; the focus on the first field that was refused;
// a table wider than the window takes the focus, so that the arrow keys move it.
const root = document.documentElement;
const kept = localStorage.getItem("theme");
if (kept) root.dataset.theme = kept;
document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-theme-switch]")) {
    for (const menu of document.querySelectorAll("details.menu[open]"))
      if (!menu.contains(event.target)) menu.open = false;
    return;
  }
  const dark = (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
});
document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && document.querySelector("details.menu[open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});
document.addEventListener("DOMContentLoaded", () => document.querySelector("main [aria-invalid=true]")?.focus());
function scrollers() {
  for (const box of document.querySelectorAll(".scroll, .diff.text")) {
    const scrolls = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight;
    const lonely = scrolls && !box.querySelector("a[href], button, summary, input:not([type=hidden]), select");
    if (lonely) box.tabIndex = 0; else box.removeAttribute("tabindex");
  }
}
for (const name of ["DOMContentLoaded", "htmx:load", "toggle"]) document.addEventListener(name, scrollers, true);
addEventListener("resize", scrollers);
