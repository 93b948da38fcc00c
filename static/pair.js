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
