// What changes: a live diff by words between the original and the correction.
(() => {
  const NEAR = 160; // characters
  let waiting = 0, shown = null;
  function show() {
    const text = document.getElementById("text"), original = document.getElementById("original"), panel = document.getElementById("changes");
    if (!text || !original || shown === text.value) return;
    shown = text.value;
    const steps = window.wordDiff(original.value, text.value), nodes = [];
    let taken = 0, put = 0;
    for (const [at, [kind, words]] of steps.entries()) {
      if (kind === "same") { nodes.push(...around(words, at === 0, at === steps.length - 1)); continue; }
      const node = document.createElement(kind);
      node.textContent = words;
      nodes.push(node);
      const n = words.match(/[\p{L}\p{N}]+/gu)?.length ?? 0;
      if (kind === "del") taken += n; else put += n;
    }
    document.getElementById("diff").replaceChildren(...nodes);
    const changed = steps.some(([kind]) => kind !== "same");
    document.getElementById("changed").textContent = changed ? `−${taken} +${put} words` : "nothing yet";
    document.getElementById("diff").hidden = !changed;
    panel.hidden = false;
  }
  // Of a long stretch that stayed, what stands next to a change is enough.
  function around(words, first, last) {
    if (words.length <= 3 * NEAR) return [words];
    const gap = document.createElement("span");
    gap.className = "soft";
    gap.textContent = " … ";
    const head = words.slice(0, NEAR).replace(/\S*$/u, ""), tail = words.slice(-NEAR).replace(/^\S*/u, "");
    return [...(first ? [] : [head]), gap, ...(last ? [] : [tail])];
  }
  const soon = () => {
    clearTimeout(waiting);
    const long = (document.getElementById("text")?.value.length ?? 0) > 20_000;
    waiting = setTimeout(show, long ? 250 : 0);
  };
  document.addEventListener("input", soon);
  document.addEventListener("draft:restored", soon);
  document.addEventListener("work:shown", () => { shown = null; show(); });

  // The reasons by Shift and a digit; event.code, because Shift turns digits into signs.
  document.addEventListener("keydown", (event) => {
    const digit = /^Digit([1-9])$/.exec(event.code)?.[1];
    if (!digit || !event.shiftKey || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || localStorage.getItem("annotune:letters") === "off") return;
    if (document.querySelector(".sheet:popover-open") || event.target.closest?.("textarea, input:not([type=radio], [type=checkbox])")) return;
    const chip = document.querySelectorAll("#reasons input")[digit - 1];
    if (!chip) return;
    event.preventDefault();
    chip.click();
    document.getElementById("said").textContent = `${chip.value}${chip.checked ? "" : " taken off"}`;
  });
})();
