/** The tools around the pad: pens, width, undo and redo, files by button, by drop and by paste, shortcuts. */

import { ERASER } from "./strokes.js";

const $ = (id) => document.getElementById(id);

const PENS = {
  Ink: "#1d1b1a",
  Ruby: "#c2183c",
  Orange: "#e8772e",
  Yellow: "#e8a317",
  Green: "#2f8f4e",
  Blue: "#2563c9",
  Violet: "#7a3fc0",
  Brown: "#8a5a3b",
};
const ERASER_FACTOR = 3;

export function wireTools({ pad, load, improve }) {
  $("pens").firstElementChild.after(...Object.entries(PENS).map(penOf));
  $("pens").onchange = $("width").oninput = () => take(pad);
  for (const act of ["undo", "redo", "clear"]) $(act).onclick = () => pad[act]();
  pad.addEventListener("change", () => reflect(pad));
  wireFiles(load);
  wireKeys(pad, improve);
  take(pad);
  reflect(pad);
}

/** A copy of the eraser, the one pen that the page already contains, for this colour. */
function penOf([name, colour], index) {
  const label = $("pens").lastElementChild.cloneNode(true);
  const [input, patch] = [label.firstChild, document.createElement("i")];
  Object.assign(input, { value: colour, ariaLabel: name, checked: index === 0 });
  patch.style.backgroundColor = colour;
  label.title = name;
  label.replaceChildren(input, patch);
  return label;
}

function take(pad) {
  const colour = $("pens").querySelector(":checked").value;
  const width = Number($("width").value);
  pad.pen = { colour, width: colour === ERASER ? width * ERASER_FACTOR : width };
  $("dot").style.setProperty("--size", `${width}px`);
}

/** A button that is really disabled would lose the focus. */
function reflect(pad) {
  $("undo").ariaDisabled = pad.marks.length === 0;
  $("redo").ariaDisabled = pad.undone.length === 0;
  $("clear").ariaDisabled = pad.visible.length === 0;
  $("invite").hidden = pad.visible.length > 0 || pad.live !== null;
}

const inDialog = () => document.querySelector("dialog[open]") !== null;

function wireFiles(load) {
  $("load").onclick = () => $("file").click();
  $("file").onchange = () => {
    load($("file").files[0]);
    $("file").value = "";
  };
  addEventListener("paste", ({ target, clipboardData: { files, types } }) => {
    const asText = target.matches("textarea") && types.includes("text/plain");
    if (!asText && !inDialog()) load(files[0]);
  });
  for (const name of ["dragover", "drop", "dragleave"]) {
    addEventListener(name, (event) => {
      const { files, types } = event.dataTransfer;
      const ofFiles = types.includes("Files");
      if (!ofFiles && event.target.matches?.("textarea, input")) return;
      event.preventDefault(); // or the browser leaves the page for what was dropped
      $("drop").classList.toggle("over", ofFiles && name === "dragover");
      if (name === "drop" && !inDialog()) load(files[0]);
    });
  }
}

/** Undo belongs to the text while someone types in it. Enter that is held down presses a button once. */
function wireKeys(pad, improve) {
  addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.repeat && event.target.matches("button")) event.preventDefault();
    if (!(event.ctrlKey || event.metaKey) || inDialog()) return;
    const key = event.key.toLowerCase();
    const typing = event.target.matches("textarea");
    if (key === "enter") event.repeat || improve("now");
    else if (key === "z" && !typing) event.shiftKey ? pad.redo() : pad.undo();
    else if (key === "y" && !typing) pad.redo();
    else return;
    event.preventDefault();
  });
}
