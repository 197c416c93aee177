"use strict";

// Text in the order of the alphabet, numbers by size, what is not known always last.
function sortTable(heading) {
  const column = heading.cellIndex;
  const body = heading.closest("table").tBodies[0];
  const descending = heading.getAttribute("aria-sort") === "ascending";
  const keyed = [...body.rows].map((row) => {
    const entry = row.cells[column];
    const key = "key" in entry.dataset ? parseFloat(entry.dataset.key) : entry.textContent;
    return { row, key, unknown: Number.isNaN(key) };
  });
  keyed.sort((a, b) => {
    if (a.unknown || b.unknown) return a.unknown - b.unknown;
    const order = typeof a.key === "number" && typeof b.key === "number" ? a.key - b.key : String(a.key).localeCompare(String(b.key));
    return descending ? -order : order;
  });
  for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  body.append(...keyed.map((each) => each.row));
}

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => sortTable(button.closest("th")));
}

async function drawCharts() {
  for (const place of document.querySelectorAll(".chart")) {
    const specification = JSON.parse(document.getElementById(place.dataset.specification).textContent);
    try {
      await vegaEmbed(place, specification, { renderer: "svg", actions: false });
    } catch (error) {
      console.error(place.id, error);
      place.textContent = "This chart could not be drawn: " + error.message;
      place.classList.add("failed");
    }
  }
  document.documentElement.dataset.charts = "drawn";
}

drawCharts();
