// The stage form shows the fields that the chosen kind has, and the list of people when it counts.
const form = document.querySelector("[data-stage]");
const fields = {
  write: ["begin_with"],
  correct: ["source", "source_name", "edit_prompt", "tags_correct"],
  rank: ["max_answers", "better_answer", "tags_rank"],
  rate: ["rate_answers"],
};
const field = (name) => form.querySelector(`[name="${name}"]`)?.closest(".field");
const show = (name, on) => { const box = field(name); if (box) box.hidden = !on; };
function fit() {
  const kind = form.querySelector('[name="kind"]');
  if (kind) for (const [owner, names] of Object.entries(fields)) for (const name of names) show(name, kind.value === owner);
  const source = form.querySelector('[name="source"]');
  if (source && !field("source").hidden) show("source_name", source.value === "origin");
  show("people", form.querySelector('[name="everyone"]:checked')?.value === "no");
}
form.addEventListener("change", fit);
fit();
