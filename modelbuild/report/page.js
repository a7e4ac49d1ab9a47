"use strict";
// Filtering and sorting for those who have scripts; the page is whole without.
(() => {
  const table = document.getElementById("matrix");
  const bodies = [...table.tBodies];
  if (bodies.length < 2) return;

  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "search";
  box.placeholder = "Filter by name, tag, licence";
  box.setAttribute("aria-label", box.placeholder);
  box.addEventListener("input", () => {
    const words = box.value.toLowerCase().split(/\s+/);
    for (const body of bodies) body.hidden = !words.every((word) => body.dataset.find.includes(word));
  });
  label.append(box);
  document.querySelector("header").append(label);

  const model = table.tHead.rows[0].cells[0];
  const heads = [model, ...table.tHead.rows[1].cells];
  const value = (body, column) => {
    if (column === 0) return body.dataset.sort;
    const sort = body.rows[0].cells[column].dataset.sort;
    return sort === undefined ? -2 : Number(sort);
  };
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = column === 0 ? head.ariaSort === "ascending" : head.ariaSort !== "descending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const sign = down ? -1 : 1;
      bodies.sort((a, b) => sign * compare(value(a, column), value(b, column)));
      table.append(...bodies);
    });
  });
  model.setAttribute("aria-sort", "ascending");
})();
