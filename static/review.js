// The review inbox: a decision is a key, the next one is there at once, and a comment that was begun
// is kept in this browser until it is sent. Without this script the page is forms and links.
(() => {
  const by = (id) => document.getElementById(id);
  const inText = (node) => node.closest?.("textarea, select, input:not([type=radio], [type=checkbox], [type=hidden])");
  const letters = () => localStorage.getItem("annotune:letters") !== "off" && localStorage.getItem("annotune:keys") !== "off";
  const READ = 350; // ms: who still presses the key of the last one has not read this one
  const key = () => `annotune:review:${document.querySelector("[data-submission]")?.dataset.submission}`;
  const FORMS = ["accept-form", "return-form"];
  let shown = 0, sending = false;

  const announce = (words) => { by("announce").textContent = ""; requestAnimationFrame(() => { by("announce").textContent = words; }); };

  function begin(swapped) {
    shown = performance.now();
    sending = false;
    for (const node of document.querySelectorAll("#review .only-script")) node.hidden = false;
    for (const node of document.querySelectorAll(".top kbd, #review kbd")) if ([...node.textContent].length === 1) node.hidden = !letters();
    const comment = by("comment"), heading = document.querySelector("#review h1");
    if (comment && !comment.value) comment.value = sessionStorage.getItem(key()) ?? "";
    if (by("return")?.dataset.open !== undefined) { by("return").showPopover(); comment.focus(); return; }
    if (comment?.value) by("sent").textContent = "A comment is begun";
    if (heading) { heading.tabIndex = -1; heading.focus({ preventScroll: true }); }
    const problem = document.querySelector("#review [role=alert]");
    const said = by("review")?.dataset.said;
    if (swapped) announce(problem ? problem.textContent : `${said ? `${said} ` : ""}${by("accept") ? heading.textContent : "Nothing more waits."}`);
    if (said && by("sent") && !comment?.value) by("sent").textContent = said;
  }

  function open() {
    by("return").showPopover();
    by("comment").focus();
  }
  function close() {
    by("return").hidePopover();
    by("return-open").focus();
  }
  function read() {
    const button = by("clean"), clean = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(clean));
    by("as-read").hidden = !clean; by("as-diff").hidden = clean;
  }

  const press = (id) => [() => by(id), (node) => node.click()];
  const KEYS = {
    a: press("accept"), r: [() => by("return-open"), open], f: press("fix"),
    j: press("next"), k: press("previous"), u: press("back"), i: press("all-of-it"),
    d: [() => by("clean"), read],
    g: [() => by("guidelines"), (sheet) => sheet.togglePopover()],
    "?": [() => by("keys"), (sheet) => sheet.togglePopover()],
    ArrowRight: press("next"), ArrowLeft: press("previous"),
  };

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.id === "comment") { event.preventDefault(); return by("return-form").requestSubmit(by("send-back")); }
    if (event.key === "Escape" && by("return")?.matches(":popover-open")) { event.preventDefault(); return close(); }
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || inText(event.target)) return;
    const arrow = event.key.startsWith("Arrow");
    if (!arrow && !letters()) return;
    const sheet = document.querySelector(".sheet:popover-open");
    if (sheet && (sheet.id === "return" || !"g?".includes(event.key))) return;
    if (event.shiftKey && event.key !== "?") return;
    const other = !/^[a-z]$/i.test(event.key) && /^\p{L}$/u.test(event.key) && /^Key([A-Z])$/.exec(event.code)?.[1];
    const name = arrow || event.key === "?" ? event.key : (other || event.key).toLowerCase();
    const [find, act] = KEYS[name] ?? [], node = find?.();
    if (!node) return;
    event.preventDefault();
    if (sending || performance.now() - shown < READ) return;
    act(node);
  });
  document.addEventListener("click", (event) => { if (event.target.closest("#clean") && event.isTrusted) read(); });
  document.addEventListener("toggle", (event) => { if (event.target.id === "return" && event.newState === "open") by("comment").focus(); }, true);
  document.addEventListener("input", (event) => { if (event.target.id === "comment") { sessionStorage.setItem(key(), event.target.value); event.target.removeAttribute("aria-invalid"); } });
  document.addEventListener("change", (event) => {
    if (event.target.id !== "letters") return;
    localStorage.setItem("annotune:letters", event.target.checked ? "on" : "off");
    for (const node of document.querySelectorAll(".top kbd, #review kbd")) if ([...node.textContent].length === 1) node.hidden = !letters();
  });

  document.addEventListener("htmx:confirm", (event) => {
    const { id } = event.target;
    if (!FORMS.includes(id) && !event.target.closest?.("#review .bar")) return;
    const returns = id === "return-form" && event.detail.triggeringEvent?.submitter?.value === "return";
    if (sending) return event.preventDefault();
    if (returns && !by("comment").value.trim()) {
      event.preventDefault();
      by("comment").setAttribute("aria-invalid", "true");
      announce("Say first what is to be changed: the author sees it.");
      return by("comment").focus();
    }
    sending = true;
  });
  document.addEventListener("htmx:configRequest", (event) => {
    const button = event.detail.triggeringEvent?.submitter;
    if (button?.name) event.detail.parameters[button.name] = button.value;
  });
  const failed = (words) => { sending = false; by("sent").textContent = words; announce(words); };
  // Logged in anew in another tab: the page's token is old then. Take the new one, if it is one's own.
  async function renew() {
    let page = null;
    try { page = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html"); } catch { /* said below */ }
    const token = page?.querySelector("[name=csrfmiddlewaretoken]")?.value, who = (from) => from.querySelector(".menu > summary")?.textContent;
    if (!token || !page.getElementById("review")) return failed("Not sent: the server refuses it. Load the page again; what you typed is kept.");
    if (who(page) !== who(document)) return failed(`Not sent: ${who(page)} is logged in here now. Load the page again.`);
    for (const node of document.querySelectorAll("[name=csrfmiddlewaretoken]")) node.value = token;
    document.body.setAttribute("hx-headers", JSON.stringify({ "X-CSRFToken": token }));
    failed("Not sent yet: you have logged in anew. Press once more.");
  }
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, target } = event.detail;
    if (target.id !== "review") return;
    event.detail.shouldSwap = xhr.responseText.includes('id="review"');
    event.detail.isError = !event.detail.shouldSwap;
    if (!event.detail.shouldSwap && xhr.status === 403) renew();
    else if (!event.detail.shouldSwap) failed(xhr.status < 400 ? "Not sent: you are logged out. Log in in another tab, then try again." : `Not sent: the server answered ${xhr.status}. Try again.`);
    else if (FORMS.includes(event.detail.requestConfig?.elt?.id) && xhr.status < 400) sessionStorage.removeItem(key());
  });
  for (const name of ["htmx:sendError", "htmx:timeout"]) document.addEventListener(name, () => failed("Not sent: no connection. What you typed is kept; try again."));
  document.addEventListener("htmx:load", (event) => { if (event.detail.elt.id === "review") begin(true); });
  document.addEventListener("DOMContentLoaded", () => {
    // The editor's text has arrived where the server says so; where it was refused it is kept.
    if (document.querySelector("#main .messages .success")) sessionStorage.removeItem(sessionStorage.getItem("annotune:sent") ?? "");
    sessionStorage.removeItem("annotune:sent");
    if (by("letters")) by("letters").checked = letters();
    if (by("review")) begin(false);
  });
})();
