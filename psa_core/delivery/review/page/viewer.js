"use strict";
// One image, large: the label over the photograph, classes on and off.

const element = (id) => document.getElementById(id);
const IGNORE = 255;
const STRIPE = 4;
const hidden = new Set(); // class indices that are switched off
let shown; // the image
let pixels; // {width, height, labels: Uint8Array} of its label, once it is loaded

const nameOf = (index) => (index === IGNORE ? "ignored" : index ? REVIEW.classes[index - 1] : "background");
const coloursOf = (index) => REVIEW.colours[index - 1] || [[150, 150, 150], [150, 150, 150]];

// A square with the colours of a class.
function swatch(index) {
  const [first, second] = coloursOf(index).map((colour) => `rgb(${colour})`);
  const square = document.createElement("span");
  square.className = "swatch";
  square.style.background = `repeating-linear-gradient(135deg, ${first} 0 4px, ${second} 4px 8px)`;
  return square;
}

// Called by labels/{image}.js: runs has class index and length in turn, row by row.
function showLabel(id, width, height, runs) {
  if (!shown || shown.id !== id) return;
  const labels = new Uint8Array(width * height);
  for (let i = 0, at = 0; i < runs.length; i += 2) {
    labels.fill(runs[i], at, at + runs[i + 1]);
    at += runs[i + 1];
  }
  pixels = { width, height, labels };
  draw();
  listClasses();
}

function isOutline({ width, height, labels }, x, y) {
  const at = y * width + x;
  const own = labels[at];
  return (
    (x > 0 && labels[at - 1] !== own) ||
    (x < width - 1 && labels[at + 1] !== own) ||
    (y > 0 && labels[at - width] !== own) ||
    (y < height - 1 && labels[at + width] !== own)
  );
}

function draw() {
  const canvas = element("label");
  if (!pixels) {
    canvas.width = 0;
    return;
  }
  const { width, height, labels } = pixels;
  const alpha = Math.round(2.55 * element("opacity").value);
  const outlined = element("outlined").checked;
  const image = new ImageData(width, height);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const index = labels[at];
      if (!index || hidden.has(index)) continue;
      const colour = coloursOf(index)[Math.floor((x + y) / STRIPE) % 2];
      image.data.set(colour, 4 * at);
      image.data[4 * at + 3] = outlined && isOutline(pixels, x, y) ? 255 : alpha;
    }
  }
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function listClasses() {
  const shares = new Map(shown.tags);
  const present = pixels ? new Set(pixels.labels) : new Set();
  present.delete(0);
  const all = [...new Set([...shares.keys(), ...present])].sort((a, b) => a - b);
  element("classes").replaceChildren(
    ...all.map((index) => {
      const row = document.createElement("label");
      const box = Object.assign(document.createElement("input"), { type: "checkbox" });
      box.checked = !hidden.has(index);
      box.addEventListener("change", () => {
        if (box.checked) hidden.delete(index);
        else hidden.add(index);
        draw();
      });
      const share = shares.has(index) ? ` ${shares.get(index)} %` : "";
      row.append(box, swatch(index), nameOf(index) + share);
      row.className = "check";
      return row;
    }),
  );
}

function view(image, position) {
  shown = image;
  pixels = undefined;
  draw();
  const photograph = element("photograph");
  photograph.src = `photographs/${encodeURIComponent(image.id)}.jpg`;
  photograph.alt = image.file;
  photograph.parentElement.style.setProperty("--ratio", image.width / image.height);
  const script = document.createElement("script");
  script.src = `labels/${encodeURIComponent(image.id)}.js`;
  script.addEventListener("load", () => script.remove());
  script.addEventListener("error", () => {
    script.remove();
    warn(`labels/${image.id}.js is missing: delete the folder of this page and run the workflow again.`);
  });
  document.body.append(script);
  element("file").textContent = image.file;
  element("position").textContent = position;
  element("numbers").textContent = `${image.object} % object, margin ${image.margin}`;
  element("under").textContent = "";
  listClasses();
}

element("label").addEventListener("pointermove", (event) => {
  if (!pixels) return;
  const x = Math.floor((event.offsetX / event.target.clientWidth) * pixels.width);
  const y = Math.floor((event.offsetY / event.target.clientHeight) * pixels.height);
  const index = pixels.labels[y * pixels.width + x];
  element("under").textContent = index === undefined ? "" : `Pointer: ${nameOf(index)}`;
});
for (const id of ["opacity", "outlined"]) element(id).addEventListener("input", draw);
