// The rubric's form works by its buttons alone, and htmx sends them; this adds keys (Alt with the
// arrows moves the question in focus, Alt + adds one, Ctrl Enter saves), says aloud what happened,
// and asks before typed text is left behind.
(() => {
  const by = (id) => document.getElementById(id);
  let back = null, changed = false, sending = false;

  document.addEventListener("keydown", (event) => {
    if (event.isComposing || !event.target.closest?.("#rubric-form")) return;
    if ((event.ctrlKey || event.metaKey) && event.key === "Enter") {
      event.preventDefault();
      by("rubric-form").requestSubmit(document.querySelector(".rubric-save .main"));
    } else if (event.altKey && !event.ctrlKey && (event.key === "+" || event.code === "Equal")) {
      event.preventDefault();
      by("add").click();
    } else if (event.altKey && !event.ctrlKey && ["ArrowUp", "ArrowDown"].includes(event.key)) {
      const row = event.target.closest("[data-row]");
      if (!row) return;
      event.preventDefault();
      const n = Number(row.dataset.row), up = event.key === "ArrowUp", to = n + (up ? -1 : 1);
      const button = by(`${n}-${up ? "up" : "down"}`);
      if (button.disabled) return;
      back = event.target.id.startsWith(`${n}-`) ? event.target.id.replace(`${n}-`, `${to}-`) : `${to}-title`;
      button.click();
    }
  });
  document.addEventListener("input", (event) => { if (event.target.closest("#rubric-form")) changed = true; });
  document.addEventListener("submit", () => { sending = true; });
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.elt.id !== "rubric") return;
    changed = true;
    by("said").textContent = by("rubric").dataset.said;
    if (back) by(back)?.focus();
    back = null;
  });
  addEventListener("beforeunload", (event) => { if (changed && !sending) event.preventDefault(); });
})();
