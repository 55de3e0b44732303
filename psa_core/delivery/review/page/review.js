"use strict";
// The grid of all images, its filters, and the keyboard.

const CHUNK = 120; // cards that are added at a time
const REASONS = {
  empty: "empty",
  flooded: "flooded",
  missing: "lacks a class",
  margin: "small margin",
};
const FILTERS = {
  all: ["all", () => true],
  suspicious: ["suspicious", (image) => image.reasons.length > 0],
  ...Object.fromEntries(
    Object.entries(REASONS).map(([key, text]) => [key, [text, (image) => image.reasons.includes(key)]]),
  ),
  undecided: ["undecided", (image) => !decisionOf(image.id)],
  accept: ["accepted", (image) => decisionOf(image.id) === "accept"],
  reject: ["rejected", (image) => decisionOf(image.id) === "reject"],
  exclude: ["excluded", (image) => decisionOf(image.id) === "exclude"],
  stale: ["label changed since the decision", isStale],
  corrected: ["corrected", (image) => image.corrected],
};
const byId = new Map(REVIEW.images.map((image) => [image.id, image]));
const viewer = element("viewer");
let images = []; // those that the filters let through, worst first
let cards = []; // their buttons, as far as they are on the page
let current = 0;

function badges(image) {
  const found = image.reasons.map((reason) => [
    "reason",
    reason === "missing" ? `no pixel of ${image.missing.map(nameOf).join(", ")}` : REASONS[reason],
  ]);
  if (image.corrected) found.push(["corrected", "corrected"]);
  if (isStale(image)) found.push(["stale", "label changed since the decision"]);
  const decision = decisionOf(image.id);
  if (decision) found.push([decision, { accept: "accepted", reject: "rejected", exclude: "excluded" }[decision]]);
  return found.map(([kind, text]) => {
    const item = document.createElement("li");
    item.className = kind;
    item.textContent = text;
    return item;
  });
}

function card(image, i) {
  const button = document.createElement("button");
  button.className = "card";
  const frame = document.createElement("span");
  frame.className = "frame";
  const thumbnail = document.createElement("img");
  thumbnail.loading = "lazy";
  thumbnail.alt = "";
  thumbnail.src = `thumbnails/${encodeURIComponent(image.id)}.jpg`;
  const half = document.createElement("span");
  half.className = "half";
  half.style.setProperty("--ratio", image.width / image.height);
  half.append(thumbnail);
  frame.append(half);
  const name = document.createElement("span");
  name.className = "name";
  name.textContent = image.file;
  const tags = document.createElement("span");
  tags.className = "tags";
  for (const [index] of image.tags) {
    const tag = document.createElement("span");
    tag.append(swatch(index), nameOf(index));
    tags.append(tag);
  }
  const list = document.createElement("ul");
  list.className = "badges";
  button.append(frame, name, tags, list);
  button.addEventListener("click", () => {
    select(i);
    open();
  });
  refresh(button, image);
  return button;
}

function refresh(button, image) {
  button.dataset.decision = decisionOf(image.id);
  button.querySelector(".badges").replaceChildren(...badges(image));
}

// Cards up to the one with this number, or one more chunk.
function fill(until = cards.length) {
  const end = Math.min(images.length, Math.ceil((until + 1) / CHUNK) * CHUNK);
  const added = images.slice(cards.length, end).map((image, i) => card(image, cards.length + i));
  cards.push(...added);
  element("grid").append(...added);
  const left = images.length - cards.length;
  element("more").textContent = images.length ? (left ? `${left} more` : "") : "No image matches.";
}

function summarise() {
  const count = (decision) => REVIEW.images.filter((image) => decisionOf(image.id) === decision).length;
  const absent = [...earlier.keys()].filter((id) => !byId.has(id) && decisionOf(id) === "exclude").length;
  const parts = [
    `${images.length} of ${REVIEW.images.length} images`,
    `${count("accept")} accepted`,
    `${count("reject")} rejected`,
    `${count("exclude")} excluded`,
  ];
  if (absent) parts.push(`${absent} excluded earlier, not shown`);
  element("summary").textContent = parts.join(" · ");
}

function filter() {
  const chosen = Number(element("class").value);
  const [, matches] = FILTERS[element("reason").value];
  images = REVIEW.images.filter(
    (image) => matches(image) && (!chosen || image.tags.some(([index]) => index === chosen)),
  );
  cards = [];
  current = 0;
  element("grid").replaceChildren();
  fill();
  summarise();
  mark();
}

function mark() {
  for (const each of element("grid").querySelectorAll("[aria-current]")) each.removeAttribute("aria-current");
  if (cards[current]) cards[current].setAttribute("aria-current", "true");
}

function select(i) {
  if (!images.length) return;
  current = Math.max(0, Math.min(images.length - 1, i));
  if (current >= cards.length) fill(current);
  mark();
  if (viewer.open) show();
  else cards[current].scrollIntoView({ block: "nearest" });
}

function show() {
  const image = images[current];
  view(image, `${current + 1} of ${images.length}`);
  showDecision();
}

function showDecision() {
  const image = images[current];
  element("reasons").replaceChildren(...badges(image));
  for (const button of viewer.querySelectorAll("[data-decision]")) {
    const decision = button.dataset.decision;
    button.setAttribute("aria-pressed", String(decision !== "" && decision === decisionOf(image.id)));
  }
  element("undo").disabled = !undone.length;
}

function open() {
  if (!images.length) return;
  viewer.showModal();
  show();
}

function choose(decision) {
  const image = images[current];
  if (!image) return;
  decide(image, decision);
  refresh(cards[current], image);
  summarise();
  if (current < images.length - 1) select(current + 1);
  else if (viewer.open) showDecision();
}

function takeBack() {
  const id = undo();
  if (id === undefined) return;
  const i = images.findIndex((image) => image.id === id);
  summarise();
  if (i < 0) return;
  if (cards[i]) refresh(cards[i], images[i]);
  select(i);
}

function toggleLabels() {
  const box = element("labelled");
  box.checked = !box.checked;
  showLabels();
}

function showLabels() {
  document.body.classList.toggle("unlabelled", !element("labelled").checked);
}

const columns = () => getComputedStyle(element("grid")).gridTemplateColumns.split(" ").length;
const KEYS = {
  ArrowLeft: () => select(current - 1),
  ArrowRight: () => select(current + 1),
  ArrowUp: () => select(current - (viewer.open ? 1 : columns())),
  ArrowDown: () => select(current + (viewer.open ? 1 : columns())),
  Enter: () => (viewer.open ? viewer.close() : open()),
  a: () => choose("accept"),
  r: () => choose("reject"),
  x: () => choose("exclude"),
  c: () => choose(""),
  u: takeBack,
  l: toggleLabels,
};

document.addEventListener("keydown", (event) => {
  const undoes = event.key === "z" && (event.ctrlKey || event.metaKey);
  if (event.altKey || ((event.ctrlKey || event.metaKey) && !undoes)) return;
  const target = event.target;
  // These have keys of their own.
  if (target.matches("select") || (target.matches("input[type=range]") && event.key.startsWith("Arrow"))) return;
  if (event.key === "Enter" && target.matches("button:not(.card), summary, input")) return;
  const action = undoes ? takeBack : KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action) return;
  event.preventDefault();
  action();
});

function addOptions(id, options) {
  element(id).append(...options.map(([value, text]) => new Option(text, value)));
  element(id).addEventListener("change", filter);
}

load();
addOptions("reason", Object.entries(FILTERS).map(([key, [text]]) => [key, text]));
addOptions("class", [["0", "all"], ...REVIEW.classes.map((name, i) => [String(i + 1), name])]);
element("labelled").addEventListener("change", showLabels);
element("download").addEventListener("click", download);
element("close").addEventListener("click", () => viewer.close());
element("previous").addEventListener("click", () => select(current - 1));
element("next").addEventListener("click", () => select(current + 1));
element("undo").addEventListener("click", takeBack);
for (const button of viewer.querySelectorAll("[data-decision]")) {
  button.addEventListener("click", () => choose(button.dataset.decision));
}
viewer.addEventListener("close", () => select(current));
filter();
const observer = new IntersectionObserver((entries) => {
  if (!entries.at(-1).isIntersecting || cards.length >= images.length) return;
  fill();
  observer.unobserve(element("more")); // to be told again if the end is still in sight
  observer.observe(element("more"));
}, { rootMargin: "1000px" });
observer.observe(element("more"));
