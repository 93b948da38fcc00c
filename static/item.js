// An item's page: digits choose a submission, w decides in one's own words, arrows scroll as ever.
(() => {
  const letters = () => localStorage.getItem("annotune:letters") !== "off" && localStorage.getItem("annotune:keys") !== "off";
  document.addEventListener("DOMContentLoaded", () => {
    for (const node of document.querySelectorAll("#main kbd")) node.hidden = !letters();
    // The editor's text has arrived where the server says so; where it was refused it is kept.
    if (document.querySelector("#main .messages .success")) sessionStorage.removeItem(sessionStorage.getItem("annotune:sent") ?? "");
    sessionStorage.removeItem("annotune:sent");
  });
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || event.repeat || !letters()) return;
    if (event.target.closest?.("textarea, select, input:not([type=radio], [type=checkbox])")) return;
    const node = event.key === "w" ? document.getElementById("own-words") : /^[1-9]$/.test(event.key) ? [...document.querySelectorAll(".columns > article")].map((card) => card.querySelector("[data-choose]")).find((button) => button?.textContent.trim().endsWith(event.key)) : null;
    if (!node) return;
    event.preventDefault();
    if (event.key === "w") return node.click();
    node.focus(); // a digit points, Enter decides: it leaves other people's work out of datasets
    node.scrollIntoView({ block: "nearest" });
  });
})();
