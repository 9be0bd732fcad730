"use strict";
// Follows changes: when the server says that data changed, the page is asked for again, and the sections that differ are replaced.
// It also says how many runs are ticked. Without it a page is as it was when it was loaded.
(() => {
  const state = document.getElementById("state");
  const main = document.querySelector("main[data-events]");
  const ticked = () => [...document.querySelectorAll("input[name=run]:checked")];
  const count = () => {
    const button = document.getElementById("compare");
    if (!button) return;
    button.disabled = ticked().length !== 2;
    document.getElementById("ticked").textContent = `${ticked().length} of 2 ticked`;
  };
  const replace = (fresh) => {
    const names = new Set();
    let last = null;
    for (const section of fresh.querySelectorAll("main > section")) {
      names.add(section.id);
      const old = document.getElementById(section.id);
      if (!old) (last ? last.after(section) : main.prepend(section));
      else if (old.dataset.digest !== section.dataset.digest) old.replaceWith(section);
      else { last = old; continue; }
      last = section;
      document.dispatchEvent(new CustomEvent("sections-shown", { detail: section }));
    }
    for (const old of main.querySelectorAll(":scope > section")) if (!names.has(old.id)) old.remove();
  };
  let timer = 0;
  let pause = 1000; // milliseconds between two looks: at least three times what the last one took
  const look = async () => {
    timer = 0;
    const began = Date.now();
    const answer = await fetch(window.location.href, { headers: { Accept: "text/html" } });
    if (answer.redirected) { window.location.reload(); return; }
    if (!answer.ok) { state.textContent = "This page could not be made again; it shows what was there before."; return; }
    const kept = new Set(ticked().map((box) => box.value));
    replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
    for (const box of document.querySelectorAll("input[name=run]")) box.checked = kept.has(box.value);
    count();
    pause = Math.max(1000, 3 * (Date.now() - began));
    state.textContent = `Data changed: updated at ${new Date().toLocaleTimeString()}.`;
  };
  const changed = () => {
    if (timer) return;
    timer = window.setTimeout(() => look().catch(() => { state.textContent = "The server cannot be reached."; }), pause);
  };
  document.addEventListener("change", (event) => { if (event.target.name === "run") count(); });
  count();
  if (!main) return;
  const address = new URL(main.dataset.events, window.location.href);
  address.searchParams.set("since", main.dataset.began);
  const source = new EventSource(address);
  source.addEventListener("changed", changed);
  window.addEventListener("pagehide", () => source.close());
})();
