"use strict";
// Draws the charts whose specifications stand in the page, and lets tables be sorted. Without it, tables and captions remain.
(() => {
  const dark = window.matchMedia && window.matchMedia("(prefers-color-scheme: dark)");
  const themes = document.getElementById("themes");
  // A server shows a page of each run; a report by itself has none.
  const runPage = document.body.dataset.runs ? (run) => { window.location.href = `${document.body.dataset.runs}${encodeURIComponent(run)}`; } : null;
  const draw = (within) => {
    if (!window.vegaEmbed || !themes) return;
    const config = JSON.parse(themes.textContent)[dark && dark.matches ? "dark" : "light"];
    for (const place of within.querySelectorAll("[data-chart]")) {
      const spec = JSON.parse(document.getElementById(place.dataset.chart).textContent);
      drawChart(place, spec, config, runPage).catch((error) => { place.textContent = String(error); });
    }
  };
  const value = (row, column) => {
    const cell = row.cells[column];
    const number = Number(cell.dataset.value ?? NaN);
    return Number.isNaN(number) ? cell.textContent : number;
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : typeof a === "number" ? -1 : typeof b === "number" ? 1 : a.localeCompare(b));
  const sort = (button) => {
    const head = button.closest("th");
    const body = head.closest("table").tBodies[0];
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...body.rows].sort((a, b) => (down ? -1 : 1) * compare(value(a, head.cellIndex), value(b, head.cellIndex)));
    body.append(...rows);
  };
  const sortable = (within) => {
    for (const head of within.querySelectorAll("table[data-sortable] thead th")) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      button.addEventListener("click", () => sort(button));
      head.replaceChildren(button);
    }
  };
  const show = (within) => { sortable(within); draw(within); };
  show(document);
  document.addEventListener("sections-shown", (event) => show(event.detail));
  if (dark && dark.addEventListener) dark.addEventListener("change", () => draw(document));
})();
