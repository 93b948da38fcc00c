// The work's editor in a reviewer's or a lead's hands: what is typed is kept in this browser until it
// is sent. It stands where draft.js stands on the work page, and says the same to the other scripts.
window.draft = (() => {
  const by = (id) => document.getElementById(id);
  const OURS = ["csrfmiddlewaretoken", "submission", "version", "seen"];
  const key = () => `annotune:editor:${by("work-form").dataset.kept}`;
  const fields = () => [...by("work-form").elements].filter((node) => node.name && !OURS.includes(node.name) && !node.matches("button, [disabled]"));
  const say = (text, bad = false) => { by("saved").textContent = text; by("saved").classList.toggle("bad", bad); };
  const trouble = (text = "") => { by("trouble").hidden = !text; by("trouble").textContent = text; };
  const values = (untouched = false) => {
    const all = {};
    for (const node of fields()) {
      all[node.name] ??= [];
      if (!node.matches("[type=radio], [type=checkbox]") || node.checked) all[node.name].push(untouched && node.matches("textarea") ? node.defaultValue : node.value);
    }
    return all;
  };
  let first = "";
  function change() {
    const now = JSON.stringify(values());
    try { if (now === first) sessionStorage.removeItem(key()); else sessionStorage.setItem(key(), now); } catch { /* full: the page has it */ }
    say(now === first ? "" : "Kept in this browser until you send it");
  }
  function restore() {
    first = JSON.stringify(values(true));
    const text = sessionStorage.getItem(key());
    if (JSON.stringify(values()) !== first) { change(); return; } // typed before this script was there
    if (!text || text === first) return;
    const kept = JSON.parse(text);
    for (const node of fields()) {
      if (!(node.name in kept)) continue;
      if (node.matches("[type=radio], [type=checkbox]")) node.checked = kept[node.name].includes(node.value);
      else node.value = kept[node.name][0] ?? "";
    }
    say("What you had typed is back");
    by("work-form").dispatchEvent(new CustomEvent("draft:restored", { bubbles: true }));
  }
  document.addEventListener("DOMContentLoaded", () => {
    for (const node of document.querySelectorAll("#work .only-script, #preview-switch")) node.hidden = false;
    for (const node of document.querySelectorAll("#work .only-plain")) node.hidden = true;
    document.dispatchEvent(new CustomEvent("work:shown"));
    restore();
    by("work-form").addEventListener("input", change);
    const wrong = document.querySelector("#work-form [aria-invalid=true]") ?? (matchMedia("(pointer: fine)").matches && by("text"));
    if (wrong) wrong.focus({ preventScroll: true });
  });
  document.addEventListener("submit", (event) => {
    if (event.defaultPrevented || event.target.id !== "work-form") return;
    sessionStorage.setItem("annotune:sent", key()); // forgotten where it has arrived: review.js
    by("submit").disabled = true;
  });
  addEventListener("pageshow", () => { by("submit").disabled = false; });
  document.addEventListener("click", (event) => { if (event.target.closest("#cancel")) sessionStorage.removeItem(key()); });
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); by("work-form").requestSubmit(by("submit")); }
    else if (event.key === "Escape" && event.target.matches?.("textarea") && !document.querySelector(".sheet:popover-open")) { const part = document.querySelector(".answer"); part.tabIndex = -1; part.focus({ preventScroll: true }); }
    else if (event.key === "e" && by("text") && !event.target.closest("textarea, input") && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); by("text").focus(); }
    else if (event.key === "g" && !event.target.closest("textarea, input") && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); by("guidelines").togglePopover(); }
  });
  return { say, change, trouble, save: change };
})();
