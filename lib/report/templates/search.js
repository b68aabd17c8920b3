"use strict";
const box = document.getElementById("search");
const summary = document.getElementById("found");
const tables = [...document.querySelectorAll("section.table")].map(section => ({
  section, fold: section.querySelector(":scope > details"),
  rows: [...section.querySelectorAll(".entry")].map(row => ({row, text: textOf(section, row)}))}));
const layers = [...document.querySelectorAll(".layer")];
function textOf(section, row) {
  const names = [...row.querySelectorAll("[title]")].map(named => named.title).join(" ");
  const examples = row.querySelector(".examples");  // whose words are about many columns
  const text = examples ? row.textContent.replace(examples.textContent, "") : row.textContent;
  return `${section.id} ${section.querySelector("h3").textContent} ${text} ${names}`.toLowerCase();
}
function search() {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0, places = 0;
  for (const table of tables) {
    let hits = 0;
    for (const {row, text} of table.rows) {
      row.hidden = !words.every(word => text.includes(word));
      hits += !row.hidden;
    }
    table.section.hidden = words.length > 0 && hits === 0;
    if (table.fold) table.fold.open = words.length > 0 && hits > 0;
    found += hits;
    places += hits > 0;
  }
  for (const layer of layers) layer.hidden = !layer.querySelector("section.table:not([hidden])");
  document.body.classList.toggle("searching", words.length > 0);
  summary.textContent = words.length ? `${found} found in ${places} table${places === 1 ? "" : "s"}` : "";
}
function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  box.value = "";
  search();
  const fold = target.closest("details") || target.querySelector(":scope > details");
  if (fold) fold.open = true;
  target.scrollIntoView();
}
document.getElementById("search-box").hidden = false;
box.addEventListener("input", search);
addEventListener("hashchange", reveal);
reveal();
