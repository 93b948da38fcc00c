// Keep what is being written: on the server 2 s after the last key and when the page is left, in
// this browser meanwhile. A stale tab is told, and both texts stay.
window.draft = (() => {
  const QUIET = 2000, IDLE = 30_000;
  let form = null, dirty = false, saving = null, timer = 0, touched = 0, counting = 0;

  const field = (name) => form.elements[name];
  const key = () => `annotune:draft:${field("submission").value}`;
  const say = (text, bad = false) => {
    const place = document.getElementById("saved");
    if (!place) return;
    place.textContent = text;
    place.classList.toggle("bad", bad);
    place.classList.toggle("wide", !bad);
  };
  const contents = () => {
    const data = new FormData(form);
    for (const name of ["csrfmiddlewaretoken", "submission", "version", "seconds"]) data.delete(name);
    return Object.fromEntries(data);
  };
  const keepHere = () => {
    try { localStorage.setItem(key(), JSON.stringify({ version: disputed() ? "" : field("version").value, fields: contents() })); }
    catch { /* full or forbidden: the server's copy remains */ }
  };
  // Until the person has chosen, nothing is written over the stored version.
  const disputed = () => document.querySelector("#conflict [data-conflict]");
  const forget = () => localStorage.removeItem(key());
  const put = (fields) => {
    for (const [name, value] of Object.entries(fields)) {
      const target = field(name);
      if (target) target.value = value;
    }
    form.dispatchEvent(new CustomEvent("draft:restored", { bubbles: true }));
  };

  async function save(leaving = false) {
    if (!form || !dirty || disputed() || (saving && !leaving)) return saving;
    clearTimeout(timer);
    dirty = false;
    const mine = form, body = new URLSearchParams(new FormData(form));
    const seconds = Number(field("seconds").value);
    if (!leaving) say("Saving …");
    saving = (async () => {
      let answer;
      try {
        answer = await fetch(form.dataset.draft, { method: "POST", body, redirect: "error", keepalive: leaving && body.toString().length < 60_000 });
      } catch {
        if (mine === form) { dirty = true; keepHere(); say("Not sent yet: kept in this browser", true); timer = setTimeout(save, 10_000); }
        return;
      }
      const news = await answer.json().catch(() => ({}));
      if (mine !== form) return;
      if (answer.ok) {
        field("version").value = news.version;
        field("seconds").value = Math.max(Number(field("seconds").value) - seconds, 0);
        if (!dirty) forget();
        say(news.expired ? "Kept, but your time ran out and others took the item" : "Draft saved", news.expired);
      } else if (answer.status === 409 && news.stored) {
        keepHere();
        field("version").value = news.version;
        conflict(news.stored);
      } else {
        keepHere();
        say(news.error || "Not saved: kept in this browser", true);
      }
    })().finally(() => { saving = null; if (dirty && mine === form) later(); });
    return saving;
  }

  // Two versions: the person chooses; what is not chosen stays on the page until then.
  function conflict(stored) {
    const place = document.getElementById("conflict"), box = document.createElement("div");
    box.className = "notice warn stack";
    const words = document.createElement("p");
    words.setAttribute("role", "alert");
    words.textContent = "This item was changed in another tab or on another device. Your version is below, unchanged. Submitting keeps yours.";
    box.append(words);
    if (typeof stored.text === "string") {
      const text = document.createElement("textarea");
      text.readOnly = true; text.rows = 4; text.value = stored.text; text.dataset.stored = "";
      text.setAttribute("aria-label", "The stored version");
      box.append(text);
    }
    const row = document.createElement("div");
    row.className = "row";
    for (const [choice, label] of [["mine", "Keep mine"], ["stored", "Take the stored one"]]) {
      const button = document.createElement("button");
      button.type = "button"; button.dataset.conflict = choice; button.textContent = label;
      row.append(button);
    }
    box.append(row);
    place.replaceChildren(box);
    say("Two versions", true);
  }
  function settle(choice) {
    const stored = document.querySelector("#conflict [data-stored]");
    if (choice === "stored") {
      forget();
      if (!stored) return location.reload();
      field("text").value = stored.value;
      form.dispatchEvent(new CustomEvent("draft:restored", { bubbles: true }));
    }
    document.getElementById("conflict").replaceChildren();
    change();
  }

  const later = () => { clearTimeout(timer); timer = setTimeout(save, QUIET); };
  function change() { if (!form) return; dirty = true; touched = Date.now(); keepHere(); later(); }

  function begin() {
    form = document.getElementById("work-form");
    dirty = false; clearTimeout(timer); touched = Date.now();
    if (!form) return;
    form.addEventListener("input", change);
    for (const node of document.querySelectorAll("#conflict .only-script")) node.hidden = false;
    let kept = null;
    try { kept = JSON.parse(localStorage.getItem(key())); } catch { forget(); }
    if (!kept || disputed()) return;
    if (kept.version === field("version").value) { put(kept.fields); dirty = true; save(); }
    else if ("text" in kept.fields && kept.fields.text !== field("text").value) {
      const stored = field("text").value;
      put(kept.fields);
      conflict({ text: stored });
    } else forget();
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-conflict]");
    if (button) settle(button.dataset.conflict);
  });
  document.addEventListener("visibilitychange", () => { if (document.hidden) save(true); });
  addEventListener("pagehide", () => save(true));
  addEventListener("online", () => save());
  for (const name of ["pointerdown", "keydown", "scroll", "input"]) addEventListener(name, () => { touched = Date.now(); }, { passive: true, capture: true });
  clearInterval(counting);
  counting = setInterval(() => {
    if (form && !document.hidden && Date.now() - touched < IDLE) field("seconds").value = Number(field("seconds").value) + 1;
  }, 1000);

  return {
    begin, save, change, forget, say,
    busy: () => saving,
    stop: () => { clearTimeout(timer); dirty = false; },
    get form() { return form; },
  };
})();
