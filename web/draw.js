/** The pad: what mouse, pen, touch and keyboard draw, with undo and redo, as a picture and as strokes. */

import { ERASER, PAPER, stroke, svgOf } from "./strokes.js";
import { contain, pngOf } from "./pictures.js";

const NEAREST_PX = 1.5;
const KEY_STEP_PX = 8;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Marks are strokes, images (which cover all below them) and clearings; undo and redo move along them. */
export class Pad extends EventTarget {
  marks = [];
  undone = [];
  live = null;
  pen = { colour: "#1d1b1a", width: 7 };
  #settled = new OffscreenCanvas(1, 1);
  #cursor = [PAPER.width / 2, PAPER.height / 2];
  #frame = 0;

  constructor(canvas) {
    super();
    this.canvas = canvas;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => this.#up(event));
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("focus", () => this.#show());
    canvas.addEventListener("blur", () => this.lift());
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.#followScreen();
  }

  /** Another screen may have more pixels for the same size, of which no observer tells. */
  #followScreen() {
    const screen = matchMedia(`(resolution: ${devicePixelRatio}dppx)`);
    screen.addEventListener("change", () => (this.#resize(), this.#followScreen()), { once: true });
  }

  /** What can be seen: the last image or clearing hides whatever came before it. */
  get visible() {
    const cover = this.marks.findLastIndex((mark) => mark.image || mark.clear);
    return this.marks.slice(Math.max(cover, 0)).filter((mark) => !mark.clear);
  }

  get empty() {
    return this.visible.every((mark) => mark.colour === ERASER);
  }

  /** The strokes, or null when they lie on an image and so do not tell the whole picture. */
  get strokes() {
    return this.visible.some((mark) => mark.image) ? null : this.visible;
  }

  get svg() {
    return this.strokes && svgOf(this.strokes);
  }

  add(mark) {
    this.lift();
    this.marks.push(mark);
    this.undone = [];
    this.#redraw();
  }

  undo() {
    this.lift();
    if (this.marks.length) this.undone.push(this.marks.pop());
    this.#redraw();
  }

  redo() {
    if (this.undone.length) this.marks.push(this.undone.pop());
    this.#redraw();
  }

  clear() {
    this.lift();
    if (this.visible.length) this.add({ clear: true });
  }

  replace(strokes) {
    this.lift();
    this.marks.push({ clear: true }, ...strokes);
    this.undone = [];
    this.#redraw();
  }

  /** Shows a stroke that is still being drawn, by a user or by the example. */
  preview(live) {
    this.live = live;
    this.dispatchEvent(new Event("change"));
    this.#show();
  }

  png() {
    return pngOf(PAPER, (context) => this.#paint(context));
  }

  #paint(context) {
    for (const mark of this.visible) {
      if (mark.image) context.drawImage(mark.image, ...contain(mark.image, PAPER));
      else stroke(context, mark);
    }
  }

  #point(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * PAPER.width;
    const y = ((event.clientY - box.top) / box.height) * PAPER.height;
    return event.pointerType === "pen" && event.pressure > 0 ? [x, y, event.pressure] : [x, y];
  }

  #down(event) {
    if (event.button !== 0 || !event.isPrimary) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.lift();
    this.preview({ ...this.pen, points: [this.#point(event)], pointer: event.pointerId });
  }

  #move(event) {
    if (this.live?.pointer !== event.pointerId) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) this.#extend(this.#point(each));
    this.#show();
  }

  /** A second finger, or a palm, ends no stroke but its own. */
  #up({ pointerId }) {
    if (this.live?.pointer === pointerId) this.lift();
  }

  #extend(point) {
    const [x, y] = this.live.points.at(-1);
    if (Math.hypot(point[0] - x, point[1] - y) >= NEAREST_PX) this.live.points.push(point);
  }

  /** Ends the stroke that is being drawn, if there is one. */
  lift() {
    const { live } = this;
    this.live = null;
    if (live) this.add({ colour: live.colour, width: live.width, points: live.points });
    else this.#show();
  }

  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return; // the browser's, or the page's
    const arrow = ARROWS[event.key];
    if (arrow) {
      const step = KEY_STEP_PX * (event.shiftKey ? 4 : 1);
      const [x, y] = this.#cursor.map((at, i) => at + arrow[i] * step);
      this.#cursor = [Math.min(Math.max(x, 0), PAPER.width), Math.min(Math.max(y, 0), PAPER.height)];
      if (this.live) this.#extend(this.#cursor);
    } else if (event.key === " ") {
      if (this.live && !event.repeat) this.lift();
      else if (!event.repeat) this.preview({ ...this.pen, points: [this.#cursor] });
    } else return;
    event.preventDefault();
    this.#show();
  }

  #resize() {
    const width = Math.round(this.canvas.clientWidth * devicePixelRatio);
    for (const canvas of [this.canvas, this.#settled]) {
      canvas.width = width;
      canvas.height = Math.round((width * PAPER.height) / PAPER.width);
    }
    this.#redraw();
  }

  #scaled(canvas) {
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    const scale = canvas.width / PAPER.width;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    return context;
  }

  #redraw() {
    this.#paint(this.#scaled(this.#settled));
    this.#show();
    this.dispatchEvent(new Event("change"));
  }

  /** Repaints at most once a frame: the settled marks as one picture, the live stroke and the cursor on top. */
  #show() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      const context = this.#scaled(this.canvas);
      if (this.canvas.width) context.drawImage(this.#settled, 0, 0, PAPER.width, PAPER.height);
      if (this.live) stroke(context, this.live);
      if (this.canvas.matches(":focus-visible")) this.#crosshair(context);
    });
  }

  #crosshair(context) {
    const [x, y] = this.#cursor;
    context.strokeStyle = this.live ? "#b3123f" : "#1d5fd1";
    context.lineWidth = 2.5;
    context.stroke(new Path2D(`M${x - 16} ${y}h32M${x} ${y - 16}v32`));
  }
}
