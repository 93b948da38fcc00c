// Keep what is being written: on the server 2 s after the last key and when the page is left, in
// this browser meanwhile. A stale tab is told, and both versions stay until the person has chosen.
window.draft = (() => {
  const QUIET = 2000, AGAIN = 10_000, IDLE = 30_000;
  const OURS = ["csrfmiddlewaretoken", "submission", "version", "seconds", "guidelines"]; // no part of the work
  const by = (id) => document.getElementById(id);
  let form = null, dirty = false, saving = null, timer = 0, touched = 0, sent = [], versions = null;

  const field = (name) => form.elements[name];
  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

  // One copy a tab, so that two tabs do not write over each other's. It outlives a reload.
  const tab = sessionStorage.getItem("annotune:tab") ?? crypto.getRandomValues(new Uint32Array(1))[0].toString(36);
  sessionStorage.setItem("annotune:tab", tab);
  const prefix = () => `annotune:draft:${field("submission").value}:`;
  const key = () => prefix() + tab;

  const say = (text, bad = false) => {
    const place = by("saved");
    if (!place) return;
    place.textContent = text;
    place.classList.toggle("bad", bad);
  };
  // What needs an act of the person stands above the bar until it is over.
  const trouble = (text = "", link = null) => {
    const place = by("trouble");
    if (!place) return;
    place.hidden = !text;
    if (place.firstChild?.textContent === text) return; // said once, not at each attempt
    place.replaceChildren(...(text ? [text] : []));
    if (text && link) {
      const node = document.createElement("a");
      node.href = link.href; node.target = "_blank"; node.className = "link"; node.textContent = link.label;
      place.append(" ", node);
    }
  };

  // The work as it stands in a form: {name: [value, …]}, empty lists where nothing is chosen.
  function contents(of = form) {
    const data = new FormData(of), all = {};
    for (const node of of.elements)
      if (node.name && !OURS.includes(node.name) && !node.matches("button")) all[node.name] = data.getAll(node.name).map((text) => text.replaceAll("\r\n", "\n"));
    return all;
  }
  function put(fields) {
    for (const node of form.elements) {
      if (!node.name || OURS.includes(node.name) || node.matches("button") || !(node.name in fields)) continue;
      const values = [fields[node.name]].flat();
      if (node.matches("[type=radio], [type=checkbox]")) node.checked = values.includes(node.value);
      else node.value = values[0] ?? "";
    }
    form.dispatchEvent(new CustomEvent("draft:restored", { bubbles: true }));
  }
  const keepHere = () => {
    try { localStorage.setItem(key(), JSON.stringify({ version: disputed() ? "" : field("version").value, fields: contents() })); }
    catch { /* full or forbidden: the server's copy remains */ }
  };
  const forget = () => localStorage.removeItem(key());
  // This tab's copy, or one that a tab left behind which is no more; from then on it is this tab's.
  function kept() {
    const left = Object.keys(localStorage).filter((name) => name.startsWith(prefix()));
    const name = left.includes(key()) ? key() : left[0];
    if (!name) return null;
    const text = localStorage.getItem(name);
    localStorage.removeItem(name);
    try { return JSON.parse(text); } catch { return null; }
  }

  // Until the person has chosen, nothing is written over the stored version.
  const disputed = () => by("conflict")?.querySelector("[data-conflict]");

  async function save(leaving = false) {
    if (!form || !dirty || disputed() || (saving && !leaving)) return saving;
    clearTimeout(timer);
    dirty = false;
    const mine = form, body = new URLSearchParams(new FormData(form)), seconds = Number(field("seconds").value);
    sent = [...sent.slice(-2), contents()];
    if (!leaving) say("Saving …");
    saving = (async () => {
      let answer;
      try {
        answer = await fetch(form.dataset.draft, { method: "POST", body, redirect: "manual", keepalive: leaving && body.toString().length < 60_000 });
      } catch {
        if (mine === form) { dirty = true; keepHere(); say("Not sent yet: kept in this browser", true); timer = setTimeout(save, AGAIN); }
        return;
      }
      const news = await answer.json().catch(() => ({}));
      if (mine !== form) return;
      if (answer.ok) {
        field("version").value = news.version;
        field("seconds").value = Math.max(Number(field("seconds").value) - seconds, 0);
        if (!dirty) forget();
        trouble();
        say(news.expired ? "Kept, but your time ran out and others took the item" : "Draft saved", news.expired);
        return;
      }
      keepHere();
      if (answer.status === 409 && news.stored) await another(news);
      else if (news.finished) { say("Handed in already", true); trouble("This item was handed in already, perhaps in another tab. What you wrote since is kept in this browser. Submit brings the next item."); }
      else if (answer.type === "opaqueredirect" || answer.status === 403) await renew();
      else say(news.error || "Not saved: kept in this browser", true);
    })().finally(() => { saving = null; if (dirty && mine === form) later(); });
    return saving;
  }

  // Logged out, or logged in anew in another tab: the page's token is old then. Take the new one.
  async function renew() {
    const page = await stored();
    const token = page?.elements.csrfmiddlewaretoken?.value;
    if (!token) {
      say("Not saved: kept in this browser", true);
      trouble("You are logged out. What you wrote is kept in this browser.", { href: "/login/", label: "Log in in a new tab" });
      return false;
    }
    for (const node of document.querySelectorAll("[name=csrfmiddlewaretoken]")) node.value = token;
    document.body.setAttribute("hx-headers", JSON.stringify({ "X-CSRFToken": token }));
    trouble();
    return true;
  }
  // The form as the server would show it now; null if it shows another item, or nothing at all.
  async function stored() {
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("work-form");
      return page?.elements.submission?.value === field("submission").value ? page : null;
    } catch { return null; }
  }

  // The stored version is newer than this tab's. If this tab wrote it itself (the answer was lost
  // on its way), it goes on; else both versions stand beside each other.
  async function another(news) {
    const page = await stored(), theirs = page ? contents(page) : { text: [news.stored.text ?? ""] };
    field("version").value = page?.elements.version.value ?? news.version;
    const now = contents(), alike = (mine) => Object.entries(theirs).every(([name, value]) => same(value, mine[name]));
    if (alike(now)) { dirty = false; forget(); say("Draft saved"); }
    else if (sent.some(alike)) { dirty = true; }
    else conflict(theirs);
  }

  // Two versions: what differs, both of them whole, and the choice.
  function conflict(theirs) {
    versions = { mine: contents(), theirs };
    const names = Object.keys(theirs).filter((name) => !same(theirs[name], versions.mine[name] ?? []));
    const texts = names.filter((name) => field(name)?.matches?.("textarea"));
    const box = make("div", "notice warn stack"), row = make("div", "row");
    const words = make("p", "", "This item was changed in another tab or on another device. Your version is below, unchanged; nothing is written over until you choose.");
    words.setAttribute("role", "alert");
    box.append(words);
    for (const name of texts) {
      const there = theirs[name][0] ?? "", here = field(name).value, pair = make("div", "versions"), text = make("textarea", "");
      text.readOnly = true; text.rows = 4; text.value = there; text.dir = "auto"; text.dataset.stored = name;
      text.setAttribute("aria-label", "The stored version");
      const difference = make("div", "diff"), left = make("div", ""), right = make("div", "");
      difference.dir = "auto";
      difference.append(...marked(there, here));
      left.append(make("b", "", "Stored"), text);
      right.append(make("b", "", "From the stored one to yours"), difference);
      pair.append(left, right);
      box.append(pair);
    }
    if (names.length > texts.length) box.append(make("p", "", texts.length ? "What is chosen beside the text differs too." : "What is chosen differs."));
    const choices = [["mine", "Keep mine", "m"], ["theirs", "Take the stored one", "o"]];
    if (texts.length) choices.push(["both", "Put both together", "j"]);
    for (const [choice, label, letter] of choices) {
      const button = make("button", "", label);
      button.type = "button"; button.dataset.conflict = choice;
      button.append(make("kbd", "", letter));
      row.append(button);
    }
    box.append(row);
    by("conflict").replaceChildren(box);
    const top = box.getBoundingClientRect().top; // on a phone it may be screens away from the text
    if (top < 0 || top > innerHeight / 2) box.scrollIntoView({ block: "start" });
    say("Two versions", true);
    document.dispatchEvent(new CustomEvent("work:keys"));
  }
  const make = (tag, css, text = "") => { const node = document.createElement(tag); node.className = css; node.textContent = text; return node; };
  const marked = (from, to) => window.wordDiff(from, to).map(([kind, words]) => (kind === "same" ? words : make(kind, "", words)));

  function settle(choice) {
    const { theirs } = versions ?? {}, mine = contents();
    if (choice === "theirs") put(theirs);
    else if (choice === "both") {
      const joined = { ...mine };
      for (const [name, value] of Object.entries(theirs))
        if (field(name)?.matches?.("textarea") && value[0] && value[0] !== mine[name]?.[0]) joined[name] = [[mine[name]?.[0], value[0]].filter(Boolean).join("\n\n")];
      put(joined);
    }
    versions = { mine, theirs: choice === "mine" ? theirs : mine };
    const back = make("button", "plain", choice === "mine" ? "Take the stored one after all" : "Bring mine back"), note = make("p", "row");
    back.type = "button"; back.dataset.back = "";
    note.append(back);
    by("conflict").replaceChildren(note);
    say("");
    change();
    (by("text") ?? by("main")?.querySelector("h1"))?.focus();
  }

  const later = () => { clearTimeout(timer); timer = setTimeout(save, QUIET); };
  function change() { if (!form) return; dirty = true; touched = Date.now(); keepHere(); later(); }

  // Touched before this script was there, or refused and so not stored: to be saved.
  const touchedEarly = () => [...form.elements].some((node) => (node.matches("textarea") ? node.name && node.value !== node.defaultValue : node.matches("[type=radio], [type=checkbox]") && node.checked !== node.defaultChecked));

  // `swapped`: the form came in answer to an act on this page, not with the page.
  function begin(swapped = false) {
    form = by("work-form");
    dirty = false; clearTimeout(timer); touched = Date.now(); versions = null;
    if (!form) { sent = []; return; }
    form.addEventListener("input", change);
    if (by("conflict").querySelector(".only-plain")) { // a submit was refused: another version is stored
      by("conflict").replaceChildren();
      say("");
      keepHere();
      const mine = form;
      saving = stored().then((page) => {
        if (mine !== form || !page) return;
        const theirs = contents(page), now = contents();
        field("version").value = page.elements.version.value;
        const alike = (other) => Object.entries(theirs).every(([name, value]) => same(value, other[name]));
        if (!alike(now) && !sent.some(alike)) conflict(theirs);
        else { say("Ready: submit again"); change(); }
      }).finally(() => { saving = null; });
      return;
    }
    const here = contents(), copy = kept();
    sent = [];
    if (!copy) { if (touchedEarly()) change(); return; }
    const names = Object.keys(copy.fields).filter((name) => name in here && !same([copy.fields[name]].flat(), here[name]));
    if (!names.length) { if (swapped) change(); return; }
    put(copy.fields);
    if (copy.version === field("version").value) { sent = [copy.fields]; change(); save(); }
    else { keepHere(); conflict(here); keepHere(); }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-conflict]");
    if (button) settle(button.dataset.conflict);
    if (event.target.closest("[data-back]")) { const now = contents(); put(versions.theirs); versions.theirs = now; event.target.textContent = "Change back"; change(); }
  });
  document.addEventListener("visibilitychange", () => { if (document.hidden) save(true); });
  addEventListener("pagehide", () => save(true));
  addEventListener("online", () => save());
  for (const name of ["pointerdown", "keydown", "scroll", "input"]) addEventListener(name, () => { touched = Date.now(); }, { passive: true, capture: true });
  setInterval(() => {
    if (form && !document.hidden && Date.now() - touched < IDLE) field("seconds").value = Number(field("seconds").value) + 1;
  }, 1000);

  return {
    begin, save, change, forget, say, trouble, renew, disputed, marked,
    busy: () => saving,
    stop: () => { clearTimeout(timer); dirty = false; },
    get dirty() { return dirty; },
    get form() { return form; },
  };
})();
