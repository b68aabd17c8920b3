// What a column means: on hover over its name, and for all columns behind a click.
document.addEventListener("DOMContentLoaded", () => {
  for (const header of document.querySelectorAll("th[data-column-description]"))
    header.title = header.dataset.columnDescription;
  const meanings = document.querySelector("dl.column-descriptions");
  if (!meanings) return;
  const details = document.createElement("details");
  details.className = "meanings";
  details.innerHTML = "<summary>What the columns mean</summary>";
  meanings.replaceWith(details);
  details.append(meanings);
});
