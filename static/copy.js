// A secret that is shown once: select it on focus, copy it by a button.
const secret = document.querySelector("[data-copy-from]");
if (secret) {
  secret.addEventListener("focus", () => secret.select());
  document.querySelector("[data-copy]").addEventListener("click", async (event) => {
    secret.select();
    // Outside of https the clipboard is closed to scripts; the selection is there to be copied by hand.
    if (navigator.clipboard) await navigator.clipboard.writeText(secret.value);
    event.target.textContent = navigator.clipboard ? "Copied" : "Press Ctrl+C";
  });
}
