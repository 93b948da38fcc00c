// The work page: keys, submit-and-next, where the focus goes. It works without; this makes it quick.
(() => {
  const by = (id) => document.getElementById(id);
  const TEXT = "textarea, select, [contenteditable], input:not([type=radio], [type=checkbox], [type=hidden])";
  const inText = (node) => node.closest?.(TEXT) && !node.readOnly;
  const kept = (name) => localStorage.getItem(`annotune:${name}`) !== "off";
  const letters = () => kept("letters") && kept("keys");
  const sheet = () => document.querySelector(".sheet:popover-open");
  const ACTS = ["work-form", "skip-form", "undo-form"];
  let act = ""; // what was asked of the server last: the id of its form

  const announce = (words) => { const place = by("announce"); if (place) { place.textContent = ""; requestAnimationFrame(() => { place.textContent = words; }); } };
  const heading = () => { const node = document.querySelector("#main h1"); if (node) node.tabIndex = -1; return node; };
  const fine = () => matchMedia("(pointer: fine)").matches;

  function begin(swapped = false) {
    window.draft.begin(swapped);
    for (const node of document.querySelectorAll(".only-script, #preview-switch")) node.hidden = false;
    for (const node of document.querySelectorAll(".only-plain")) node.hidden = true;
    if (by("skip-form")) by("skip-form").noValidate = true; // its message stands beside the reasons
    document.dispatchEvent(new CustomEvent("work:shown"));
    showKeys();
    // What was refused first, then the editor where there is nothing else to do, then the top.
    const wrong = document.querySelector("#work-form [aria-invalid=true], #work-form fieldset:has(.errorlist) input");
    const editor = by("work")?.dataset.kind === "write" && fine() && by("text");
    if (wrong) wrong.focus();
    else if (!document.activeElement || document.activeElement === document.body) (editor || heading())?.focus({ preventScroll: true });
  }

  function showKeys() {
    document.documentElement.dataset.keys = kept("keys") ? "on" : "off";
    for (const node of document.querySelectorAll(".top kbd, #work kbd")) if ([...node.textContent].length === 1 && !/[↵]/.test(node.textContent)) node.hidden = !letters();
  }

  // The focus leaves a text for the part that holds it, never for nowhere.
  function leave(node) {
    const part = node.closest(".answer, .sheet") ?? document.querySelector(".answer");
    if (!part) return node.blur();
    part.tabIndex = -1;
    part.focus({ preventScroll: true });
  }

  // Each says what it acts on and, where that is more than a click, how. A key whose control is not
  // on the page is left to the browser and to assistive technology.
  const conflict = (choice) => () => document.querySelector(`#conflict [data-conflict=${choice}]`);
  const toggle = (node) => node.togglePopover();
  const KEYS = {
    s: [() => by("skip-open")],
    n: [() => by("no-change")],
    r: [() => by("revert")],
    p: [() => by("preview-switch")],
    x: [() => by("start-empty")],
    q: [() => document.querySelector(".edit-prompt"), (part) => { part.open = true; part.querySelector("textarea")?.focus(); }],
    h: [() => by("my-work")],
    u: [() => by("undo")],
    f: [() => by("flag")],
    c: [() => by("comment-open")],
    g: [() => by("guidelines"), toggle],
    m: [conflict("mine")],
    o: [conflict("theirs")],
    j: [conflict("both")],
    "?": [() => by("keys"), toggle],
    e: [() => by("text"), (text) => { if (text.hidden) by("preview-switch")?.click(); else text.focus(); }],
  };

  // All keys off: nothing but Ctrl+Enter and what the browser itself does reaches any script here.
  addEventListener("keydown", (event) => {
    if (kept("keys") || !by("work") || (event.key === "Enter" && (event.ctrlKey || event.metaKey))) return;
    event.stopImmediatePropagation();
  }, true);

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing) return;
    const command = event.ctrlKey || event.metaKey, open = sheet();
    const is = (letter) => event.key.toLowerCase() === letter || (event.code === `Key${letter.toUpperCase()}` && !/^[a-z]$/i.test(event.key));
    if (command && event.key === "Enter") {
      event.preventDefault();
      const form = open?.querySelector("form") ?? by("work-form");
      if (form) form.requestSubmit(form.id === "work-form" ? by("submit") : undefined);
    } else if (command && event.shiftKey && is("p") && by("preview-switch")) { event.preventDefault(); by("preview-switch").click(); }
    else if (command && is("s")) { event.preventDefault(); window.draft.change(); window.draft.save(); }
    else if (command && is("z") && !event.shiftKey && !inText(event.target)) { event.preventDefault(); by("undo")?.click(); }
    else if (command || event.altKey) return;
    else if (event.key === "Escape" && !open && inText(event.target)) leave(event.target);
    else if (inText(event.target)) return;
    else if (open?.id === "skip" && /^[1-9]$/.test(event.key)) {
      const reason = open.querySelectorAll("[name=reason]")[event.key - 1];
      if (!reason) return;
      event.preventDefault();
      reason.focus(); reason.click();
    } else if (open && !"g?".includes(event.key)) return;
    else if (letters() && !event.repeat) {
      const name = Object.keys(KEYS).find((each) => (each === "?" ? event.key === "?" : !event.shiftKey && is(each)));
      const [find, act = (node) => node.click()] = KEYS[name] ?? [], node = find?.();
      if (node) { event.preventDefault(); act(node); }
    }
  });

  document.addEventListener("change", (event) => {
    if (event.target.id === "letters" || event.target.id === "all-keys") {
      localStorage.setItem(event.target.id === "letters" ? "annotune:letters" : "annotune:keys", event.target.checked ? "on" : "off");
      showKeys();
    }
    if (event.target.name === "reason") by("skip-error")?.replaceChildren();
  });
  // "No change needed" says that the original stands: it must not throw away what was changed.
  document.addEventListener("click", (event) => {
    if (!event.target.closest("#no-change") || by("text").value === by("original").value) return;
    event.preventDefault();
    window.draft.trouble("You have changed the text. Submit your correction, or revert it first; then say “No change needed”.");
    by("text").focus();
  }, true);
  document.addEventListener("input", ({ target }) => {
    if (target.id === "text" && by("no-change")) window.draft.trouble();
    if (!target.matches("#work-form [aria-invalid=true]") || !target.value.trim()) return;
    target.removeAttribute("aria-invalid"); // mended: said no longer
    by(`${target.id}-error`)?.remove();
    if (!document.querySelector("#work-form .errorlist")) document.querySelector("#work .notice.bad")?.remove();
  });

  // A save on its way would make the submit stale: wait for it, then send. What a skip or an undo
  // would leave behind is saved before.
  document.addEventListener("htmx:confirm", (event) => {
    const form = event.target;
    if (!ACTS.includes(form.id)) return;
    event.preventDefault();
    if (form.dataset.sending) return;
    if (form.id === "skip-form" && !form.querySelector("[name=reason]:checked")) {
      by("skip-error").textContent = "Choose a reason first.";
      return form.querySelector("[name=reason]").focus();
    }
    form.dataset.sending = "1";
    (async () => {
      await window.draft.busy();
      if (form.id !== "work-form" && window.draft.dirty) await window.draft.save();
      if (window.draft.loggedOut && !(await window.draft.renew())) return delete form.dataset.sending;
      if (form.id !== "work-form" && window.draft.disputed()) { delete form.dataset.sending; return window.draft.trouble("Choose between the two versions first."); }
      window.draft.loggedOut = false;
      window.draft.stop();
      act = form.id;
      event.detail.issueRequest(true);
    })();
  });
  // The button that sent the form says something too, and stands outside of it.
  document.addEventListener("htmx:configRequest", (event) => {
    const button = event.detail.triggeringEvent?.submitter;
    if (button?.name) event.detail.parameters[button.name] = button.value;
  });
  const failed = (words, link) => { window.draft.change(); window.draft.say("Kept in this browser", true); window.draft.trouble(words, link); };
  document.addEventListener("htmx:afterRequest", (event) => { delete event.target.dataset?.sending; });
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, target } = event.detail;
    if (target.id !== "work") return;
    const ours = xhr.responseText.includes('id="work"'), out = !ours && (xhr.status < 400 || xhr.status === 403);
    event.detail.shouldSwap = ours;
    event.detail.isError = !ours;
    if (ours) {
      window.draft.trouble();
      if (xhr.status >= 400 || event.detail.requestConfig?.elt?.id !== "work-form") return;
      window.draft.forget();
      document.dispatchEvent(new CustomEvent("work:done", { detail: window.draft.form.elements.submission.value }));
    } else { // logged out, or no longer a member: nothing of the page is lost
      window.draft.loggedOut = out;
      if (out) failed("Not sent: you are logged out. Your work is kept here. Log in, then submit again.", { href: "/login/", label: "Log in in a new tab" });
      else failed(`Not sent: the server answered ${xhr.status}. Your work is kept in this browser; try again.`);
    }
  });
  for (const name of ["htmx:sendError", "htmx:timeout"])
    document.addEventListener(name, () => failed("Not sent: no connection. Your work is kept in this browser. Submit again when you are back."));

  // A comment goes its own way: the work below is not touched.
  document.addEventListener("htmx:afterRequest", ({ detail }) => {
    if (detail.elt.id !== "comment-form" || !detail.successful) return;
    by("comment-sheet").hidePopover();
    by("comment-text").value = "";
    by("saved").textContent = detail.xhr.responseText;
    announce(detail.xhr.responseText);
  });
  const DONE = { "work-form": "Submitted.", "skip-form": "Skipped." };
  document.addEventListener("htmx:load", (event) => {
    if (event.detail.elt.id === "flag-form") return announce(by("flag").getAttribute("aria-pressed") === "true" ? "Flagged for the lead." : "No longer flagged.");
    if (event.detail.elt.id !== "work") return;
    const before = act;
    act = "";
    if (document.activeElement && document.activeElement !== document.body && !document.activeElement.isConnected) document.activeElement.blur();
    begin(true);
    if (!before) return;
    const notice = document.querySelector("#work .notice[role=alert], #work-form .errorlist");
    if (notice) announce(notice.textContent);
    else if (before === "undo-form") announce("Taken back. It is yours to change.");
    else announce(`${DONE[before]} ${by("work-form") ? "Next item." : "That was the last one."}`);
  });
  document.addEventListener("DOMContentLoaded", () => {
    for (const [id, name] of [["letters", "letters"], ["all-keys", "keys"]]) if (by(id)) by(id).checked = kept(name);
    begin();
  });
})();
