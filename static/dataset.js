// New dataset: only the rules that mean something for the chosen kind are shown and sent.
const kind = document.querySelector("select[name=kind]");

function show() {
  for (const field of document.querySelectorAll("[data-kinds]")) {
    const on = field.dataset.kinds.split(" ").includes(kind.value);
    field.hidden = !on;
    for (const control of field.querySelectorAll("input, select, textarea")) control.disabled = !on;
  }
  for (const group of document.querySelectorAll("[data-group]")) {
    group.hidden = !group.querySelector("[data-kinds]:not([hidden])");
  }
}

kind.addEventListener("change", show);
show();
