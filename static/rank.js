// Rank by digits, arrows, drag and buttons. The radios in each card hold the places: without this
// script they are the form; with it, the list shows what they say, best first, ties side by side.
(() => {
  const cards = () => [...document.querySelectorAll("#ranks .card")];
  const byLetter = (a, b) => a.dataset.letter.localeCompare(b.dataset.letter);
  const place = (card) => Number(card.querySelector(":checked")?.value ?? 0);
  const setPlace = (card, n) => { for (const radio of card.querySelectorAll("[type=radio]")) radio.checked = Number(radio.value) === n; };

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
    const placed = groups(), loose = unplaced();
    if (!loose.length) number(placed);
    const before = new Map(cards().map((card) => [card, card.getBoundingClientRect().top])), focused = document.activeElement;
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
    if (focused && list.contains(focused)) focused.focus({ preventScroll: true });
    for (const card of cards()) {
      card.querySelector(".moves").hidden = false;
      const moved = before.get(card) - card.getBoundingClientRect().top;
      if (moved && !matchMedia("(prefers-reduced-motion: reduce)").matches)
        card.animate([{ transform: `translateY(${moved}px)` }, { transform: "none" }], { duration: 160, easing: "ease-out" });
    }
    const submit = document.getElementById("submit"), left = loose.length;
    if (submit) submit.disabled = left > 0;
    const state = document.getElementById("saved");
    if (said) tell(said);
    if (changed) { if (state) state.textContent = left ? `${left} left to place` : ""; window.draft.change(); }
  }
  function tell(card) {
    const row = card.closest("li"), others = [...row.querySelectorAll(".card")].filter((other) => other !== card).map((other) => other.dataset.letter);
    const words = place(card) ? `Answer ${card.dataset.letter}: place ${row.querySelector(".place").textContent.replace("=", "")}${others.length ? `, level with ${others.join(" and ")}` : ""}` : `Answer ${card.dataset.letter}: no place`;
    document.getElementById("said").textContent = words;
  }
  const look = (card) => { card?.focus({ preventScroll: true }); card?.scrollIntoView({ block: "nearest" }); };

  function digit(n) {
    const all = cards();
    const card = document.activeElement?.closest?.("#ranks .card") ?? unplaced()[0];
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
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || document.querySelector(".sheet:popover-open")) return;
    if (event.target.closest?.("textarea, select, input:not([type=radio])")) return;
    const scale = document.querySelector(".scale"), list = document.getElementById("ranks");
    const card = document.activeElement?.closest?.("#ranks .card");
    if (scale && !event.altKey && (/^[1-9]$/.test(event.key) || event.key === "=")) {
      event.preventDefault();
      const radio = scale.querySelector(`[data-key="${event.key === "=" ? 5 : event.key}"]`);
      radio.checked = true;
      radio.dispatchEvent(new Event("input", { bubbles: true }));
    } else if (list && !event.altKey && /^[1-9]$/.test(event.key)) { event.preventDefault(); digit(Number(event.key)); }
    else if (list && card && event.altKey && ["ArrowUp", "ArrowDown"].includes(event.key)) { event.preventDefault(); move(card, event.key === "ArrowUp" ? "up" : "down"); }
    else if (list && card && event.key === "=") { event.preventDefault(); move(card, "tie"); }
    else if (list && !event.altKey && ["ArrowUp", "ArrowDown"].includes(event.key) && event.target.type !== "radio") {
      const all = cards(), at = all.indexOf(card);
      event.preventDefault();
      look(all[at < 0 ? 0 : Math.min(Math.max(at + (event.key === "ArrowUp" ? -1 : 1), 0), all.length - 1)]);
    }
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-move]");
    if (button) move(button.closest(".card"), button.dataset.move);
  });
  document.addEventListener("input", (event) => {
    const card = event.target.closest?.("#ranks .card");
    if (card) draw({ said: card });
    if (event.target.name === "strength") ready();
  });
  const ready = () => {
    const submit = document.getElementById("submit");
    if (submit && document.querySelector(".scale")) submit.disabled = !document.querySelector(".scale :checked");
  };

  // Drag by the card's head: onto the middle of another is a tie, between two is a place of its own.
  let held = null;
  document.addEventListener("pointerdown", (event) => {
    const head = event.target.closest?.("#ranks .card > header");
    if (!head || event.button || event.target.closest("button, label, input")) return;
    held = { card: head.parentElement, id: event.pointerId, y: event.clientY, x: event.clientX, on: false, target: null, how: "" };
  });
  document.addEventListener("pointermove", (event) => {
    if (!held || event.pointerId !== held.id) return;
    if (!held.on && Math.hypot(event.clientX - held.x, event.clientY - held.y) < 5) return;
    if (!held.on) { held.on = true; held.scroll = scrollY; held.card.classList.add("held"); held.card.setPointerCapture(held.id); getSelection().removeAllRanges(); }
    event.preventDefault();
    if (event.clientY < 60) scrollBy(0, -12); else if (event.clientY > innerHeight - 100) scrollBy(0, 12);
    held.card.style.translate = `0 ${event.clientY - held.y + scrollY - held.scroll}px`;
    mark(null);
    for (const card of cards()) {
      if (card === held.card) continue;
      const box = card.getBoundingClientRect();
      if (event.clientY < box.top - 6 || event.clientY > box.bottom + 6) continue;
      const part = (event.clientY - box.top) / box.height;
      mark(card, part < 0.28 ? "before" : part > 0.72 ? "after" : "onto");
    }
  });
  function mark(card, how = "") {
    held.target?.classList.remove("drop-before", "drop-after", "drop-onto");
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
      if (event.type === "pointerup" && target) {
        const list = groups().map((group) => group.filter((other) => other !== card)).filter((group) => group.length);
        const at = list.findIndex((group) => group.includes(target));
        if (at < 0) list.push(how === "onto" ? [target, card] : [card]);
        else if (how === "onto") list[at].push(card);
        else list.splice(how === "before" ? at : at + 1, 0, [card]);
        number(list);
        draw({ said: card });
        look(card);
      }
    }
    held = null;
  }
  document.addEventListener("pointerup", drop);
  document.addEventListener("pointercancel", drop);

  const shown = () => {
    if (document.getElementById("ranks")) { draw({ changed: false }); look(cards()[0]); }
    ready();
  };
  document.addEventListener("work:shown", shown);
  document.addEventListener("draft:restored", () => { if (document.getElementById("ranks")) draw({ changed: false }); ready(); });
})();
