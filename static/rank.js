// Rank by digits, arrows, drag and buttons. The radios in each card hold the places: without this
// script they are the form; with it, the list shows what they say, best first, ties side by side.
(() => {
  const { arrive, focused, key, look, refuse, say, text } = window.answers;
  const cards = () => [...document.querySelectorAll("#ranks .card")];
  const byLetter = (a, b) => a.dataset.letter.localeCompare(b.dataset.letter);
  const places = (card) => card.querySelectorAll(".places input");
  const place = (card) => Number([...places(card)].find((radio) => radio.checked)?.value ?? 0);
  const setPlace = (card, n) => { for (const radio of places(card)) radio.checked = Number(radio.value) === n; };

  // The radios as groups, best first; cards without a place stand apart.
  function groups() {
    const found = new Map();
    for (const card of cards().sort(byLetter)) if (place(card)) found.set(place(card), [...(found.get(place(card)) ?? []), card]);
    return [...found.keys()].sort((a, b) => a - b).map((n) => found.get(n));
  }
  const unplaced = () => cards().filter((card) => !place(card)).sort(byLetter);

  // Places as sports give them: 1, 2, 2, 4. Two answers in second place leave no third.
  function number(list) {
    let n = 1;
    for (const group of list) { for (const card of group) setPlace(card, n); n += group.length; }
  }

  function draw({ said = null, changed = true } = {}) {
    const list = document.getElementById("ranks");
    if (!list) return;
    const scrolled = cards().map((card) => [text(card), text(card).scrollTop]); // lost where a card moves
    const placed = groups(), loose = unplaced();
    if (!loose.length) number(placed);
    const top = (card) => card.getBoundingClientRect().top + scrollY, before = new Map(cards().map((card) => [card, top(card)])), had = document.activeElement;
    for (const card of cards()) for (const going of card.getAnimations()) going.finish();
    let n = 1;
    const rows = [...placed.map((group) => { const row = [group, `${loose.length ? place(group[0]) : n}${group.length > 1 ? "=" : ""}`]; n += group.length; return row; }), ...loose.map((card) => [[card], "·"])];
    list.replaceChildren(...rows.map(([group, label]) => {
      const item = document.createElement("li"), mark = document.createElement("span"), box = document.createElement("div");
      item.className = label === "·" ? "unplaced" : group === placed[0] ? "first" : "";
      mark.className = "place"; mark.textContent = label; mark.setAttribute("aria-hidden", "true");
      box.className = group.length > 1 ? "tie" : "one";
      box.append(...group);
      item.append(mark, box);
      return item;
    }));
    for (const [part, kept] of scrolled) part.scrollTop = kept;
    if (had && list.contains(had)) had.focus({ preventScroll: true });
    for (const card of cards()) {
      card.querySelector(".moves").hidden = false;
      card.setAttribute("aria-label", `Answer ${card.dataset.letter}, ${words(card)}`);
    }
    if (changed && !matchMedia("(prefers-reduced-motion: reduce)").matches)
      requestAnimationFrame(() => { // after the page was scrolled to where the card is now
        for (const [card, was] of before) if (was !== top(card)) card.animate([{ transform: `translateY(${was - top(card)}px)` }, { transform: "none" }], { duration: 160, easing: "ease-out" });
      });
    document.getElementById("submit")?.setAttribute("aria-disabled", String(loose.length > 0));
    if (!loose.length) list.classList.remove("asked");
    if (said) tell(said, loose.length);
    if (changed) window.draft.change();
  }
  function words(card) {
    const row = card.closest("li"), others = [...row.querySelectorAll(".card")].filter((other) => other !== card).map((other) => other.dataset.letter);
    return place(card) ? `place ${row.querySelector(".place").textContent.replace("=", "")}${others.length ? `, level with ${others.join(" and ")}` : ""}` : "no place yet";
  }
  const tell = (card, left) => say(`${card.dataset.letter}: ${words(card)}${left ? `. ${left} left to place` : ""}`);

  function digit(n) {
    const all = cards();
    const card = focused() ?? unplaced()[0];
    if (!card || n > all.length) return;
    const next = unplaced().filter((other) => other !== card);
    const after = next.find((other) => byLetter(other, card) > 0) ?? next[0];
    setPlace(card, n);
    draw({ said: card });
    look(after ?? card);
  }

  // One step up or down, out of a tie or past the neighbour; "tie" joins the one above, or leaves it.
  function move(card, how) {
    const list = groups(), at = list.findIndex((group) => group.includes(card));
    if (at < 0) { // not placed yet: last of those placed
      if (how === "tie" && list.length) list.at(-1).push(card);
      else list.push([card]);
    } else {
      const group = list[at], rest = group.filter((other) => other !== card);
      if (how === "tie") {
        if (rest.length) list.splice(at, 1, rest, [card]);
        else if (at) { list[at - 1].push(card); list.splice(at, 1); }
        else if (list.length > 1) { list[1].push(card); list.splice(0, 1); }
      } else if (rest.length) list.splice(at, 1, ...(how === "up" ? [[card], rest] : [rest, [card]]));
      else {
        const to = how === "up" ? at - 1 : at + 1;
        if (to < 0 || to >= list.length) return;
        list.splice(at, 1);
        list.splice(to, 0, [card]);
      }
    }
    number(list);
    draw({ said: card });
    look(card);
  }

  document.addEventListener("keydown", (event) => {
    const list = document.getElementById("ranks"), got = list && key(event), card = got && focused();
    if (!got) return;
    const arrow = { ArrowUp: "up", ArrowDown: "down" }[event.key];
    if (got.digit) { event.preventDefault(); digit(got.digit); }
    else if (card && event.altKey && arrow) { event.preventDefault(); move(card, arrow); }
    else if (card && event.key === "=") { event.preventDefault(); move(card, "tie"); }
    else if (got.letter === "b") { event.preventDefault(); document.getElementById("all-bad").click(); }
    else if (arrow && !event.altKey && event.target.type !== "radio" && !event.target.matches(".text")) {
      const all = cards(), at = all.indexOf(card);
      event.preventDefault();
      look(all[at < 0 ? 0 : Math.min(Math.max(at + (arrow === "up" ? -1 : 1), 0), all.length - 1)]);
    }
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-move]");
    if (button) move(button.closest(".card"), button.dataset.move);
  });
  document.addEventListener("input", (event) => {
    const card = event.target.closest?.(".places")?.closest("#ranks .card");
    if (card) draw({ said: card });
    if (event.target.id === "all-bad") say(event.target.checked ? "All of them are bad" : "Not all of them are bad");
  });
  document.addEventListener("submit", (event) => {
    const list = document.getElementById("ranks");
    if (event.target.id !== "work-form" || !list) return;
    const left = unplaced();
    if (!left.length) return;
    list.classList.add("asked");
    refuse(event, `${left.length} answer${left.length === 1 ? " has" : "s have"} no place yet`, left[0]);
  }, true);

  // Drag by the card's head, on a touch screen by its grip (the head scrolls the page there): onto
  // the middle of another is a tie, between two is a place of its own.
  let held = null;
  document.addEventListener("pointerdown", (event) => {
    const head = event.target.closest?.("#ranks .card > header");
    if (!head || event.button || event.target.closest("button, label, input")) return;
    if (event.pointerType === "touch" && !event.target.closest(".grip")) return;
    held = { card: head.parentElement, id: event.pointerId, x: event.clientX, y: event.clientY, from: event.clientY, on: false, target: null, how: "" };
  });
  document.addEventListener("pointermove", (event) => {
    if (!held || event.pointerId !== held.id) return;
    if (!held.on && Math.hypot(event.clientX - held.x, event.clientY - held.from) < 5) return;
    held.y = event.clientY;
    event.preventDefault();
    if (held.on) return follow();
    Object.assign(held, { on: true, scroll: scrollY, most: document.scrollingElement.scrollHeight - innerHeight });
    held.card.classList.add("held");
    held.card.setPointerCapture(held.id);
    getSelection().removeAllRanges();
    requestAnimationFrame(roll);
  });
  // At the edge of the window the page moves on under the card, also while the hand is still.
  function roll() {
    if (!held?.on) return;
    const foot = document.querySelector(".bar")?.getBoundingClientRect().top ?? innerHeight;
    if (held.y < 60) scrollBy({ top: -12, behavior: "instant" });
    else if (held.y > foot - 40 && scrollY < held.most) scrollBy({ top: Math.min(12, held.most - scrollY), behavior: "instant" });
    follow();
    requestAnimationFrame(roll);
  }
  function follow() {
    held.card.style.translate = `0 ${held.y - held.from + scrollY - held.scroll}px`;
    let nearest = null, gap = Infinity;
    for (const card of cards()) {
      const rect = card.getBoundingClientRect(), away = Math.max(rect.top - held.y, held.y - rect.bottom, 0);
      if (card !== held.card && away < gap) { nearest = card; gap = away; }
    }
    if (!nearest) return;
    const own = held.card.parentElement.getBoundingClientRect(), rect = nearest.getBoundingClientRect(), part = (held.y - rect.top) / rect.height;
    if (gap && held.y > own.top && held.y < own.bottom) mark(null); // back where it came from
    else if (part > 0.28 && part < 0.72) mark(nearest, "onto");
    else mark(nearest, place(nearest) ? (part < 0.5 ? "before" : "after") : "next");
  }
  function mark(card, how = "") {
    if (held.target === card && held.how === how) return;
    held.target?.classList.remove("drop-before", "drop-after", "drop-onto", "drop-next");
    held.target = card; held.how = how;
    card?.classList.add(`drop-${how}`);
  }
  function drop(event) {
    if (!held || event.pointerId !== held.id) return;
    const { card, on, target, how } = held;
    if (on) {
      mark(null);
      card.classList.remove("held");
      card.style.translate = "";
      if (event.type === "pointerup" && target) put(card, target, how);
    }
    held = null;
  }
  function put(card, target, how) {
    const list = groups().map((group) => group.filter((other) => other !== card)).filter((group) => group.length);
    const at = list.findIndex((group) => group.includes(target));
    if (at < 0) list.push(how === "onto" ? [target, card] : [card]);
    else if (how === "onto") list[at].push(card);
    else list.splice(how === "before" ? at : at + 1, 0, [card]);
    number(list);
    draw({ said: card });
    look(card);
  }
  document.addEventListener("pointerup", drop);
  document.addEventListener("pointercancel", drop);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && held?.on) drop({ type: "escape", pointerId: held.id }); });

  document.addEventListener("work:shown", () => {
    if (!document.getElementById("ranks")) return;
    draw({ changed: false });
    arrive();
  });
  document.addEventListener("draft:restored", () => draw({ changed: false }));
})();
