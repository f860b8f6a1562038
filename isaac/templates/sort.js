"use strict";
// A heading becomes a button: first click ascending, second descending, third as it was. Groups of rows stay together.
const last = Number.POSITIVE_INFINITY;
const amount = text => {
  const plain = text.replaceAll("−", "-").replaceAll(",", "").trim();
  if (plain.startsWith("<")) return 0.999 * parseFloat(plain.slice(1));
  return /^[-+]?∞/.test(plain) ? (plain.startsWith("-") ? -Number.MAX_VALUE : Number.MAX_VALUE) : parseFloat(plain);
};
const cell = (row, column) => row.cells[column].textContent;
const rowsOf = body => [...body.rows].filter(row => row.cells[0].scope !== "rowgroup");
const sorter = (column, numeric, sign) => (a, b) => {
  if (!numeric) return sign * cell(a, column).localeCompare(cell(b, column), "en", { numeric: true });
  const [x, y] = [a, b].map(row => amount(cell(row, column)));
  return Number.isNaN(x) || Number.isNaN(y) ? (Number.isNaN(x) ? last : 0) - (Number.isNaN(y) ? last : 0) || 0 : sign * (x - y);
};
for (const table of document.querySelectorAll("section:not(.identity) table")) {
  const bodies = [...table.tBodies], before = new Map(bodies.map(body => [body, rowsOf(body)]));
  const rows = [...before.values()].flat(), headings = [...table.tHead.rows[0].cells];
  if (rows.length < 2) continue;
  headings.forEach((heading, column) => {
    const said = rows.map(row => cell(row, column)).filter(text => text !== "–" && text !== "");
    const numeric = heading.classList.contains("n") || (said.length > 0 && said.every(text => !Number.isNaN(amount(text))));
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const next = { ascending: "descending", descending: null }[heading.getAttribute("aria-sort")];
      const order = next === undefined ? "ascending" : next;
      headings.forEach(other => other.removeAttribute("aria-sort"));
      if (order) heading.setAttribute("aria-sort", order);
      for (const [body, original] of before)
        body.append(...(order ? [...original].sort(sorter(column, numeric, order === "ascending" ? 1 : -1)) : original));
    });
  });
}
document.documentElement.classList.add("sorts");
