"use strict";

// Text is sorted by the alphabet, numbers by size; unknown values come last in both directions.
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
  body.append(...keyed.map((entry) => entry.row));
}

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => sortTable(button.closest("th")));
}

// The page holds every chart as SVG. A chart that comes into view is drawn again at the width of its column, and
// answers to the mouse; where that fails, the SVG stays.
async function drawChart(place) {
  if (place.dataset.drawn) return;
  place.dataset.drawn = "begun";
  const specification = JSON.parse(document.getElementById(place.dataset.specification).textContent);
  const canvas = document.createElement("div");
  const still = [...place.childNodes];
  try {
    place.append(canvas);
    canvas.style.cssText = "width: 100%; height: 0; overflow: hidden";
    await vegaEmbed(canvas, specification, { renderer: "svg", actions: false });
    canvas.style.cssText = "width: 100%";
    for (const node of still) node.remove();
    place.dataset.drawn = "done";
  } catch (error) {
    canvas.remove();
    console.error(place.id, error);
  }
}

async function drawVisibleCharts() {
  for (const place of document.querySelectorAll(".chart")) {
    if (place.checkVisibility ? place.checkVisibility() : place.offsetParent) await drawChart(place);
  }
  document.documentElement.dataset.charts = "drawn";
}

for (const fold of document.querySelectorAll("details")) fold.addEventListener("toggle", drawVisibleCharts);
drawVisibleCharts();

// The index marks the section in view, and its links open folded sections in browsers that do not do so themselves.
const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
for (const [anchor, link] of links) {
  link.addEventListener("click", () => {
    const fold = document.getElementById(anchor).closest("details");
    if (fold) fold.open = true;
  });
}
if ("IntersectionObserver" in window) {
  const inView = new Set();
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) inView[entry.isIntersecting ? "add" : "delete"](entry.target);
    const first = [...document.querySelectorAll("main > section")].find((section) => inView.has(section));
    for (const link of links.values()) link.removeAttribute("aria-current");
    if (!first) return;
    const link = links.get(first.querySelector(".blocks").id);
    link.setAttribute("aria-current", "true");
    const list = link.closest("ul");
    list.scrollTo({ left: link.offsetLeft - list.offsetLeft - list.clientWidth / 3 });
  }, { rootMargin: "-64px 0px -60% 0px" });
  for (const section of document.querySelectorAll("main > section")) observer.observe(section);
}
