// Enter or c continues the work that waits.
document.addEventListener("keydown", (event) => {
  const free = !event.target.closest("a, button, input, select, textarea, summary, [contenteditable]");
  if (free && !event.ctrlKey && !event.metaKey && !event.altKey && ["Enter", "c"].includes(event.key))
    document.querySelector("[data-continue]")?.click();
});
