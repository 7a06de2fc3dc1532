/* Shows one map of all slides at a time, and sorts the table of slides by any column. */

const chooser = document.getElementById("map");

function showMap(title) {
  for (const section of document.querySelectorAll(".slide")) {
    const figures = [...section.querySelectorAll("figure")];
    for (const figure of figures) figure.hidden = figure.dataset.map !== title;
  }
}

if (chooser !== null) {
  chooser.addEventListener("change", () => showMap(chooser.value));
  showMap(chooser.value);
}

/** Return what a cell is sorted by: its number, else its text; null for a dash. */
function keyOf(cell) {
  const text = cell.textContent.trim();
  if (text === "" || text === "–") return null;
  const value = Number.parseFloat(text.replaceAll("\u2212", "-").replace("+", ""));
  return cell.classList.contains("number") && Number.isFinite(value) ? value : text.toLowerCase();
}

/** Sort rows; those without a value come last in both directions. */
function sortRows(table, column, down) {
  const body = table.tBodies[0];
  const compare = new Intl.Collator(undefined, { numeric: true }).compare;
  const rows = [...body.rows].map((row) => ({ row, key: keyOf(row.cells[column]) }));
  rows.sort((a, b) => {
    if (a.key === null || b.key === null) return (a.key === null) - (b.key === null);
    const order = typeof a.key === "number" && typeof b.key === "number" ? a.key - b.key : compare(String(a.key), String(b.key));
    return down ? -order : order;
  });
  body.append(...rows.map((entry) => entry.row));
}

const table = document.getElementById("slides");
if (table !== null) {
  const heads = [...table.tHead.rows[0].cells];
  for (const [column, head] of heads.entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      sortRows(table, column, down);
    });
  }
}
