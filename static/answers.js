// What both ways of comparing answers share: keys, tags, long answers that scroll in step or stand
// open, and the words in which the answers differ. rank.js does the ranking; comparing two stands
// at the end.
window.answers = (() => {
  const by = (id) => document.getElementById(id);
  const box = () => document.querySelector(".answers");
  const cards = () => [...document.querySelectorAll(".answers .card")];
  const text = (card) => card.querySelector(".text");
  const name = (card) => card.dataset.letter;
  const say = (words) => { const place = by("said"); if (place) place.textContent = words; };
  const letters = () => localStorage.getItem("annotune:letters") !== "off";
  const focused = () => document.activeElement?.closest?.(".answers .card");
  let last = null; // the card that had the focus last
  const current = () => (last?.isConnected ? last : cards()[0]);
  const look = (card) => { card?.focus({ preventScroll: true }); card?.scrollIntoView({ block: "nearest" }); };

  // A key as the hand finds it: digits by their place on the keyboard, so that Shift and other
  // layouts change nothing; letters by their place where the layout has no Latin ones.
  // Null: not a key of this page (in a text, a menu is open, a command of the browser).
  function key(event) {
    if (!box() || event.defaultPrevented || event.isComposing || event.ctrlKey || event.metaKey) return null;
    if (document.querySelector(".sheet:popover-open") || event.target.closest?.("textarea, select, [contenteditable], input:not([type=radio], [type=checkbox])")) return null;
    const digit = /^Digit([1-9])$/.exec(event.code)?.[1] ?? (/^[1-9]$/.test(event.key) ? event.key : null);
    const latin = /^[a-z]$/i.test(event.key), other = !latin && /^\p{L}$/u.test(event.key) && /^Key([A-Z])$/.exec(event.code)?.[1];
    const letter = !event.shiftKey && !event.altKey && !event.repeat && letters() ? (latin ? event.key : other || "").toLowerCase() : "";
    const free = letters() || Boolean(focused()); // single keys that are switched off still work on what has the focus
    return { digit: digit && !event.altKey && !event.shiftKey && free ? Number(digit) : 0, tag: digit && event.shiftKey && !event.altKey ? Number(digit) : 0, letter };
  }

  // Tags
  function tag(card, n) {
    const chip = card.querySelectorAll(".chips input")[n - 1];
    if (!chip) return false;
    chip.click();
    say(`${name(card)}: ${chip.value}${chip.checked ? "" : " taken off"}`);
    return true;
  }

  // Long answers. Side by side they scroll together unless told otherwise; in a list each by itself.
  const kept = (what) => `annotune:${what}:${by("pair") ? "pair" : "ranks"}`;
  const on = (what) => (localStorage.getItem(kept(what)) ?? (what === "step" && by("pair") ? "on" : "off")) === "on";
  function settle() {
    if (!box()) return;
    box().classList.toggle("expanded", on("expand"));
    let long = false;
    for (const card of cards()) {
      const part = text(card), over = part.scrollHeight > part.clientHeight + 1;
      long ||= over;
      if (over) { part.tabIndex = 0; part.setAttribute("role", "group"); part.setAttribute("aria-label", `Text of answer ${name(card)}`); }
      else for (const attribute of ["tabindex", "role", "aria-label"]) part.removeAttribute(attribute);
      more(part);
    }
    for (const [id, what, shown] of [["in-step", "step", long], ["expand", "expand", long || on("expand")]]) {
      by(id).setAttribute("aria-pressed", String(on(what)));
      by(id).hidden = !shown;
    }
  }
  const more = (part) => part.classList.toggle("more", part.scrollHeight - part.clientHeight - part.scrollTop > 8);
  function toggle(what, words) {
    const card = current(), top = card.getBoundingClientRect().top;
    localStorage.setItem(kept(what), on(what) ? "off" : "on");
    settle();
    scrollBy({ top: card.getBoundingClientRect().top - top, behavior: "instant" }); // it stays where the eye is
    say(on(what) ? words[0] : words[1]);
  }
  const STEP = ["The answers scroll together", "Each answer scrolls by itself"], EXPAND = ["The answers are shown whole", "Long answers are cut to a height"];
  const put = new WeakMap(); // where an answer was scrolled to by its neighbour
  document.addEventListener("scroll", (event) => {
    const part = event.target;
    if (!part.matches?.(".answers .text")) return;
    more(part);
    if (!on("step") || Math.abs((put.get(part) ?? -9) - part.scrollTop) < 2) return;
    put.delete(part);
    const share = part.scrollTop / (part.scrollHeight - part.clientHeight);
    for (const other of cards().map(text)) {
      if (other === part) continue;
      other.scrollTop = share * (other.scrollHeight - other.clientHeight);
      put.set(other, other.scrollTop);
    }
  }, true);

  // Differences: of two from each other, of more from the one that had the focus last.
  let marked = [], base = null;
  const found = new WeakMap(); // card: Map(other card: where its words differ)
  const count = (words) => words.match(/[\p{L}\p{N}]+/gu)?.length ?? 0;
  function differ(card, other) {
    if (!found.has(card)) found.set(card, new Map());
    const known = found.get(card);
    if (!known.has(other)) {
      const ranges = [];
      let at = 0, words = 0;
      for (const [kind, part] of window.wordDiff(text(other).textContent, text(card).textContent)) {
        if (kind === "del") continue;
        if (kind === "ins") { ranges.push([at, at + part.length]); words += count(part); }
        at += part.length;
      }
      known.set(other, { ranges, words });
    }
    return known.get(other);
  }
  function mark(root, ranges) {
    const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT), nodes = [];
    while (walk.nextNode()) nodes.push(walk.currentNode);
    let at = 0, next = 0;
    for (const node of nodes) {
      const words = node.data, end = at + words.length, parts = [];
      let done = 0;
      for (; next < ranges.length && ranges[next][0] < end; next++) {
        const from = Math.max(ranges[next][0] - at, 0), to = Math.min(ranges[next][1] - at, words.length), part = words.slice(from, to);
        if (part.trim()) { // no element between the rows of a table or list
          const lead = from + part.length - part.trimStart().length, sign = document.createElement("mark");
          sign.textContent = part.trim();
          if (lead > done) parts.push(document.createTextNode(words.slice(done, lead)));
          parts.push(sign);
          done = lead + sign.textContent.length;
        }
        if (ranges[next][1] > end) break;
      }
      at = end;
      if (!parts.length) continue;
      if (done < words.length) parts.push(document.createTextNode(words.slice(done)));
      node.replaceWith(...parts);
      marked.push([node, parts]);
    }
  }
  function unmark() {
    for (const [node, parts] of marked) { parts[0].before(node); for (const part of parts) part.remove(); }
    marked = [];
    for (const card of cards()) card.querySelector(".differs").textContent = "";
  }
  function differences(show) {
    unmark();
    base = show ? current() : null;
    by("differences").setAttribute("aria-pressed", String(show));
    if (!show) return;
    const all = cards();
    for (const card of all) {
      const other = by("pair") ? all.find((one) => one !== card) : base;
      if (card === other) { card.querySelector(".differs").textContent = "the others are compared with this"; continue; }
      const { ranges, words } = differ(card, other);
      card.querySelector(".differs").textContent = words ? `${words} of ${count(text(card).textContent)} words differ from ${name(other)}` : `all its words are in ${name(other)} too`;
      mark(text(card), ranges);
    }
  }
  // A difference below the fold of a long answer is gone to; in step, the first such answer leads.
  function reveal() {
    for (const part of cards().map(text)) {
      const top = part.getBoundingClientRect().top, signs = [...part.querySelectorAll("mark")].map((sign) => sign.getBoundingClientRect().top - top);
      if (!signs.length || signs.some((at) => at >= 0 && at < part.clientHeight - 24)) continue;
      part.scrollTop += signs[0] - part.clientHeight / 3;
      if (on("step")) break;
    }
  }
  function switchDifferences() {
    differences(!base);
    if (base) reveal();
    say(base ? `Marked: ${cards().map((card) => `${name(card)}, ${card.querySelector(".differs").textContent}`).join("; ")}` : "Differences are no longer marked");
  }

  // What is not ready is not sent: it says what is missing and goes there.
  function refuse(event, words, where) {
    event.preventDefault();
    event.stopImmediatePropagation();
    window.draft.say(words, true);
    look(where);
  }

  // Where a new item begins: at what was refused, else at the first answer.
  function arrive() {
    const wrong = document.querySelector(".answer [aria-invalid=true]");
    if (!wrong) return cards()[0]?.focus({ preventScroll: true }); // the prompt is read first
    look(wrong);
    requestAnimationFrame(() => look(wrong)); // the swap scrolls to the top after us
  }

  function better() {
    if (!by("better-box")) return;
    by("better-box").open = true;
    by("better").focus();
  }
  const KEYS = { d: switchDifferences, y: () => toggle("step", STEP), x: () => toggle("expand", EXPAND), w: better };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && ["better", "reason"].includes(event.target.id)) { event.preventDefault(); return look(current()); }
    const got = key(event);
    if (!got) return;
    if (got.tag && focused() && tag(focused(), got.tag)) event.preventDefault();
    else if (KEYS[got.letter]) { event.preventDefault(); KEYS[got.letter](); }
    else if (["PageDown", "PageUp"].includes(event.key) && focused()?.querySelector(".text[tabindex]")) {
      event.preventDefault();
      const part = text(focused());
      part.scrollBy({ top: (event.key === "PageDown" ? 0.85 : -0.85) * part.clientHeight });
    }
  }, true); // before work.js: where answers are compared, these letters are theirs
  document.addEventListener("click", (event) => {
    const id = event.target.closest?.(".tools button")?.id;
    if (id === "differences") switchDifferences();
    else if (id === "in-step") KEYS.y();
    else if (id === "expand") KEYS.x();
  });
  document.addEventListener("focusin", (event) => {
    const card = event.target.closest?.(".answers .card");
    if (!card || card === last) return;
    last = card;
    if (base && !by("pair")) differences(true);
  });
  addEventListener("resize", settle);
  document.addEventListener("work:shown", () => { marked = []; base = null; last = null; settle(); });

  return { box, cards, text, name, say, key, focused, look, refuse, arrive };
})();

// Compare two answers: the steps of the scale by key, the reason that the strongest steps need.
(() => {
  const { arrive, cards, focused, look, refuse, say, key, text } = window.answers;
  const by = (id) => document.getElementById(id);
  const chosen = () => by("scale")?.querySelector(":checked");
  const far = () => ["4", "-4"].includes(chosen()?.value);

  function choose(radio) {
    if (!radio.checked) radio.click();
    (far() ? by("reason") : by("scale")).scrollIntoView({ block: "nearest" });
    say(`${radio.closest("label").querySelector("span").textContent}${far() && !by("reason").value.trim() ? ". A reason is needed" : ""}`);
  }
  function ready() {
    if (!by("scale")) return;
    by("submit")?.setAttribute("aria-disabled", String(!chosen()));
    by("reason").setAttribute("aria-required", String(far()));
  }

  document.addEventListener("keydown", (event) => {
    if (!by("pair")) return;
    const got = key(event), radio = got && by("scale").querySelector(`[data-key="${got.digit || got.letter}"]`);
    if (!got || event.altKey) return;
    const card = focused(), arrow = event.key, inScale = event.target.type === "radio";
    if (radio) { event.preventDefault(); choose(radio); }
    else if (["ArrowLeft", "ArrowRight"].includes(arrow) && !inScale) { event.preventDefault(); look(cards()[arrow === "ArrowLeft" ? 0 : 1]); }
    else if (["ArrowUp", "ArrowDown"].includes(arrow) && event.target === card && text(card).tabIndex === 0) {
      event.preventDefault();
      text(card).scrollBy({ top: arrow === "ArrowUp" ? -80 : 80 });
    }
  });
  document.addEventListener("input", (event) => {
    if (event.target.name === "strength") ready();
    if (event.target.id === "reason" && event.target.value.trim()) event.target.removeAttribute("aria-invalid");
  });
  document.addEventListener("submit", (event) => {
    if (event.target.id !== "work-form" || !by("scale")) return;
    if (!chosen()) refuse(event, "Say first which is better, or that neither is", by("scale").querySelector("input"));
    else if (far() && !by("reason").value.trim()) {
      by("reason").setAttribute("aria-invalid", "true");
      refuse(event, "The reason is missing", by("reason"));
    }
  }, true);
  document.addEventListener("work:shown", () => {
    if (!by("pair")) return;
    ready();
    arrive();
  });
  document.addEventListener("draft:restored", ready);
})();
