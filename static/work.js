// The work page: keys, submit-and-next, word count, preview. It works without; this makes it quick.
(() => {
  const by = (id) => document.getElementById(id);
  const TEXT = "textarea, select, [contenteditable], input:not([type=radio], [type=checkbox], [type=hidden])";
  const inText = (node) => node.closest?.(TEXT) && !node.readOnly;
  const letters = () => localStorage.getItem("annotune:letters") !== "off";
  const sheet = () => document.querySelector(".sheet:popover-open");

  function begin() {
    window.draft.begin();
    for (const node of document.querySelectorAll(".only-script, #preview-switch, #revert")) node.hidden = false;
    for (const node of document.querySelectorAll(".only-plain")) node.hidden = true;
    count();
    document.dispatchEvent(new CustomEvent("work:shown"));
    const text = by("text");
    if (text && by("work")?.dataset.kind === "write" && matchMedia("(pointer: fine)").matches) text.focus({ preventScroll: true });
  }

  function count() {
    const text = by("text"), place = by("count");
    if (!text || !place) return;
    const words = text.value.match(/[\p{L}\p{N}][\p{L}\p{N}'’_-]*/gu)?.length ?? 0;
    place.textContent = `${words.toLocaleString()} word${words === 1 ? "" : "s"} · ${text.value.length.toLocaleString()} characters`;
  }

  async function preview() {
    const panel = by("preview"), button = by("preview-switch"), text = by("text");
    if (!panel || !button) return;
    const open = panel.hidden;
    if (open) {
      const body = new URLSearchParams(new FormData(by("work-form")));
      const answer = await fetch(button.dataset.preview, { method: "POST", body });
      if (!answer.ok) return;
      panel.innerHTML = await answer.text(); // sanitised by the server
    }
    panel.hidden = !open; text.hidden = open;
    button.setAttribute("aria-pressed", String(open));
    if (!open) text.focus();
  }

  const KEYS = {
    s: () => by("skip-open")?.click(),
    n: () => by("no-change")?.click(),
    u: () => by("undo")?.click(),
    f: () => by("flag")?.click(),
    g: () => by("guidelines")?.togglePopover(),
    "?": () => by("keys")?.togglePopover(),
    e: () => by("text")?.focus(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing) return;
    const command = event.ctrlKey || event.metaKey, open = sheet();
    const is = (letter) => event.key.toLowerCase() === letter;
    if (command && event.key === "Enter") {
      event.preventDefault();
      const form = open?.querySelector("form") ?? by("work-form");
      if (form) form.requestSubmit(form.id === "work-form" ? by("submit") : undefined);
    } else if (command && event.shiftKey && is("p") && by("preview-switch")) { event.preventDefault(); preview(); }
    else if (command && is("s")) { event.preventDefault(); window.draft.change(); window.draft.save(); }
    else if (command && is("z") && !event.shiftKey && !inText(event.target)) { event.preventDefault(); by("undo")?.click(); }
    else if (command || event.altKey) return;
    else if (event.key === "Escape" && !open && inText(event.target)) event.target.blur();
    else if (inText(event.target)) return;
    else if (open?.id === "skip" && /^[1-5]$/.test(event.key)) {
      event.preventDefault();
      open.querySelectorAll("[name=reason]")[event.key - 1].click();
    } else if (open && !"g?".includes(event.key)) return;
    else if (letters() && KEYS[event.key]) { event.preventDefault(); KEYS[event.key](); }
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest("#preview-switch")) preview();
    if (event.target.closest("#revert")) {
      by("text").value = by("original").value;
      by("work-form").dispatchEvent(new Event("input", { bubbles: true }));
    }
  });
  document.addEventListener("input", (event) => { if (event.target.id === "text" || event.target.id === "work-form") count(); });
  document.addEventListener("draft:restored", count);
  document.addEventListener("change", (event) => {
    if (event.target.id === "letters") localStorage.setItem("annotune:letters", event.target.checked ? "on" : "off");
  });

  // A save on its way would make the submit stale: wait for it, then send.
  document.addEventListener("htmx:confirm", (event) => {
    if (!["work-form", "skip-form", "undo-form"].includes(event.target.id)) return;
    if (event.target.dataset.sending) return event.preventDefault();
    event.preventDefault();
    event.target.dataset.sending = "1";
    window.draft.stop();
    Promise.resolve(window.draft.busy()).then(() => { window.draft.stop(); event.detail.issueRequest(true); });
  });
  document.addEventListener("htmx:afterRequest", (event) => { delete event.target.dataset?.sending; });
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, target } = event.detail;
    if (target.id !== "work") return;
    const ours = xhr.responseText.includes('id="work"');
    if (ours) {
      if (xhr.status < 400 && event.detail.requestConfig?.elt?.id === "work-form") window.draft.forget();
      event.detail.shouldSwap = true;
      event.detail.isError = false;
    } else { // logged out, or no longer a member: nothing of the page is lost
      event.detail.shouldSwap = false;
      event.detail.isError = true;
      window.draft.change();
      window.draft.say(xhr.status < 400 ? "You were logged out. Log in in another tab, then submit again." : `Not sent (${xhr.status}). Your work is kept here: try again.`, true);
    }
  });
  for (const name of ["htmx:sendError", "htmx:timeout"])
    document.addEventListener(name, () => { window.draft.change(); window.draft.say("Not sent: no connection. Your work is kept in this browser.", true); });
  document.addEventListener("htmx:load", (event) => { if (event.detail.elt.id === "work") begin(); });
  document.addEventListener("DOMContentLoaded", () => {
    if (by("letters")) by("letters").checked = letters();
    begin();
  });
})();
