// New dataset: only the rules that mean something for the chosen kind are shown and sent.
const kind = document.querySelector("select[name=kind]");

function show() {
  for (const group of document.querySelectorAll("fieldset[data-kinds]")) {
    const on = group.dataset.kinds.split(" ").includes(kind.value);
    group.hidden = !on;
    group.disabled = !on;
  }
}

kind.addEventListener("change", show);
show();
