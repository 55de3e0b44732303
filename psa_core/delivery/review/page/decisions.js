"use strict";
// What the user decides: kept in the browser, with undo, and downloaded as a table.

const KEY = `psa-review ${location.pathname}`; // pages of file:// may share one store
const earlier = new Map(Object.entries(REVIEW.decisions)); // of dataset.decisions
const decided = new Map(); // image -> {decision, label}; these replace the earlier ones
const undone = []; // [image, entry before]

const decisionOf = (id) => (decided.has(id) ? decided.get(id).decision : earlier.get(id) || "");

// Whether the label has changed since the decision in this browser.
const isStale = (image) => {
  const entry = decided.get(image.id);
  return Boolean(entry && entry.decision && entry.label !== image.label);
};

function warn(text) {
  const line = document.getElementById("warning");
  line.textContent = text;
  line.hidden = false;
}

function load() {
  try {
    for (const [id, entry] of JSON.parse(localStorage.getItem(KEY) || "[]")) decided.set(id, entry);
  } catch {
    warn("This browser cannot keep decisions. Download them before you close the page.");
  }
}

function save() {
  try {
    localStorage.setItem(KEY, JSON.stringify([...decided]));
  } catch {
    warn("This browser cannot keep decisions. Download them before you close the page.");
  }
}

function decide(image, decision) {
  undone.push([image.id, decided.get(image.id)]);
  decided.set(image.id, { decision, label: image.label });
  save();
}

// The id of the image whose decision was taken back, or undefined.
function undo() {
  if (!undone.length) return undefined;
  const [id, entry] = undone.pop();
  if (entry) decided.set(id, entry);
  else decided.delete(id);
  save();
  return id;
}

// All decisions, also those of images that are excluded and therefore not on the page.
function table() {
  const ids = [...new Set([...earlier.keys(), ...decided.keys()])].sort();
  const rows = ids.filter(decisionOf).map((id) => `${id},${decisionOf(id)}\n`);
  return `image,decision\n${rows.join("")}`;
}

function download() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
  link.download = "decisions.csv";
  link.click();
  URL.revokeObjectURL(link.href);
}
