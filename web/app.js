/** The page: the pad, the panel and the strip joined to the jobs between them. */

import { Pad } from "./draw.js";
import { drawExample } from "./example.js";
import { History } from "./history.js";
import { isPending, Jobs, newRecord } from "./jobs.js";
import { Panel } from "./panel.js";
import { imageIn } from "./pictures.js";
import { Settings } from "./settings.js";
import { Strip } from "./strip.js";
import { PAPER } from "./strokes.js";
import { wireTools } from "./tools.js";

const $ = (id) => document.getElementById(id);
const NOTHING_DRAWN = "Draw something first, or load an image.";

const settings = new Settings();
const history = new History();
const jobs = new Jobs(() => settings.api());
const pad = new Pad($("paper"));
const panel = new Panel();
const strip = new Strip({ onPick: show, onForget: forget });
const configured = settings.load();
const records = new Map();

function show(record) {
  panel.show(record);
  strip.mark(record);
}

async function start(record) {
  records.set(record.id, record);
  history.keep(record);
  strip.show(record);
  show(record);
  if (matchMedia("(max-width: 859px)").matches) $("panel").scrollIntoView();
  await run(record);
}

/** The lock tells other tabs that this one is at it, until the record is kept as it ended. */
async function run(record) {
  await configured;
  const toItsEnd = async () => {
    await jobs.run(record);
    await history.read(record.id);
  };
  await navigator.locks.request(record.id, { mode: "shared" }, toItsEnd).catch(toItsEnd); // blocked: no other tab knows
}

/** A direct request ends in the tab that sent it, which may still be open, or with that tab. */
async function ended(record) {
  const found = await navigator.locks.request(record.id, () => history.read(record.id));
  if (!found) return remove(record);
  if (isPending(found) && found.requestId) return run(Object.assign(record, found));
  const problem = { message: "The page was closed before the answer came.", retryable: true };
  Object.assign(record, found, isPending(found) && { state: "error", problem });
  changed(record);
}

function forget(record) {
  $("panel-title").focus({ preventScroll: true });
  return remove(record);
}

async function remove(record) {
  jobs.stop(record);
  records.delete(record.id);
  strip.drop(record.id);
  if (panel.shown === record) show(null);
  await history.drop(record.id);
}

function changed(record) {
  if (!records.has(record.id)) return;
  strip.show(record);
  if (panel.shown === record) panel.show(record);
  history.renew(record);
}

jobs.addEventListener("change", ({ detail }) => changed(detail));

async function improve(mode) {
  pad.lift();
  $("ask-note").textContent = pad.empty ? NOTHING_DRAWN : "";
  if (pad.empty) return;
  const { svg, strokes } = pad;
  await start(newRecord({ mode, svg, strokes, hints: $("hints").value.trim(), original: await pad.png() }));
}

pad.addEventListener("change", () => {
  if (!pad.empty && $("ask-note").textContent === NOTHING_DRAWN) $("ask-note").textContent = "";
});

async function load(file) {
  if (!file) return;
  try {
    pad.add({ image: await imageIn(file, PAPER) });
    $("ask-note").textContent = "";
  } catch (error) {
    $("ask-note").textContent = error.message;
  }
}

async function edit({ strokes, original, hints }) {
  if (strokes) pad.replace(strokes);
  else await load(original);
  $("hints").value = hints;
  $("paper").focus();
}

wireTools({ pad, load, improve });
/** The second click of a double click is none. */
$("now").onclick = ({ detail }) => detail > 1 || improve("now");
$("later").onclick = ({ detail }) => detail > 1 || improve("later");
$("example").onclick = () => {
  $("now").focus({ preventScroll: true }); // the button disappears
  drawExample(pad);
};
$("stop").onclick = () => forget(panel.shown);
$("forget").onclick = () => confirm("Forget all earlier sketches?") && [...records.values()].forEach(forget);
$("variant").onclick = () => {
  const { shown } = panel;
  $("panel-title").focus();
  start(newRecord(shown, shown.variant + 1));
};
for (const reuse of document.querySelectorAll(".reuse")) reuse.onclick = () => edit(panel.shown);
$("retry").onclick = ({ detail }) => {
  if (detail > 1 || $("retry").getAttribute("aria-disabled") === "true") return;
  $("panel-title").focus();
  run(panel.shown);
};

/** Background jobs that were under way go on. */
for (const record of (await history.all()).reverse()) {
  records.set(record.id, record);
  strip.show(record);
  if (isPending(record)) record.requestId ? run(record) : ended(record);
}
