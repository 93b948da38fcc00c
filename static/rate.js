// The rubric by digits: they answer the question that has the focus (where digits mean nothing
// else, the first unanswered one when none has it), and the focus moves on. A rubric that is
// one rating or one label is handed in by its digit. It listens before the other pages' scripts do:
// a digit inside a question is no place in a ranking.
(() => {
  const by = (id) => document.getElementById(id);
  const asks = () => [...document.querySelectorAll("#work-form .ask")];
  const options = (ask) => [...ask.querySelectorAll("input")];
  const field = (ask) => ask.querySelector("input:checked") ?? ask.querySelector("input, textarea");
  const title = (ask) => ask.querySelector("legend, label").firstChild.textContent.trim();
  const answered = (ask) => (ask.dataset.ask === "text" ? Boolean(ask.querySelector("textarea").value.trim()) : options(ask).some((option) => option.checked));
  const alone = () => by("rate") && asks().length === 1 && ["rating", "label"].includes(asks()[0].dataset.ask);
  const go = (ask) => { field(ask)?.focus({ preventScroll: true }); ask.scrollIntoView({ block: "nearest" }); };

  // A text that may be left out is passed by: the next digit would land in it.
  const open = (ask) => !answered(ask) && (ask.dataset.ask !== "text" || Boolean(ask.querySelector("[aria-required]")));

  function next(ask) {
    const all = asks(), after = all.slice(all.indexOf(ask) + 1);
    const to = after.find(open) ?? all.find((other) => other !== ask && open(other));
    if (to) go(to);
    else if (by("rate")) by("submit")?.focus();
  }

  function answer(ask, option) {
    const was = option.checked;
    if (option.type === "checkbox") { option.focus({ preventScroll: true }); option.click(); }
    else if (!was) option.click();
    const words = option.closest("label").querySelector("span").textContent;
    by("said")?.replaceChildren(`${title(ask)}: ${words}${option.checked ? "" : " taken off"}`);
    if (option.type === "checkbox") return;
    if (alone()) by("work-form").requestSubmit(by("submit"));
    else next(ask);
  }

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || event.repeat) return;
    if (document.querySelector(".sheet:popover-open") || event.target.closest?.("textarea, select, input:not([type=radio], [type=checkbox])")) return;
    const inside = document.activeElement?.closest?.("#work-form .ask");
    const ask = inside ?? (!document.querySelector(".answers") && localStorage.getItem("annotune:letters") !== "off" ? asks().find((each) => !answered(each) && each.dataset.ask !== "text") ?? (alone() ? asks()[0] : null) : null);
    if (!ask) return;
    // Enter on a radio button would press the form's first button, whichever that is.
    if (event.key === "Enter" && inside && event.target.matches("input")) { event.preventDefault(); event.stopImmediatePropagation(); return next(ask); }
    const digit = /^[0-9]$/.test(event.key) ? event.key : /^(?:Digit|Numpad)([0-9])$/.exec(event.code)?.[1];
    if (!digit) return;
    const option = ask.querySelector(`[data-key="${digit}"]`);
    if (!option && !inside) return;
    event.preventDefault(); // inside a question a digit is its own, also where it offers none
    event.stopImmediatePropagation();
    if (option) answer(ask, option);
  }, true);

  // A mistake that is mended is said no longer.
  document.addEventListener("input", (event) => {
    const ask = event.target.closest?.("#work-form .ask");
    if (!ask?.querySelector(".errorlist") || !answered(ask)) return;
    ask.querySelector(".errorlist").remove();
    for (const node of ask.querySelectorAll("[aria-invalid]")) node.removeAttribute("aria-invalid");
    if (!document.querySelector("#work-form .errorlist")) document.querySelector("#work .notice.bad")?.remove();
  });

  // A form that was filled in by hand, without an answer that is needed: the focus goes there.
  document.addEventListener("work:shown", () => {
    const help = by("rate-help");
    if (!help) return;
    for (const card of document.querySelectorAll("#rate .card")) card.classList.toggle("long", card.querySelector(".text").offsetHeight > 0.6 * innerHeight);
    const wrong = document.querySelector("#rate [aria-invalid=true]"), all = asks();
    const several = all.some((ask) => ask.dataset.ask === "labels"), digits = several || all.some((ask) => ask.dataset.ask !== "text");
    help.textContent = alone() ? "A digit answers and submits." : digits ? `Digits answer the question in focus, and the next one follows${several ? "; Enter goes on after ticking several" : ""}.` : "";
    if (wrong) wrong.focus();
    else if (matchMedia("(pointer: fine)").matches) { const first = all.find((ask) => !answered(ask)); if (first) field(first)?.focus({ preventScroll: true }); }
  });
})();
