/** Two pictures in one frame with a border that slides between them, by pointer or by keyboard. */

export class Compare {
  constructor(root) {
    this.root = root;
    this.range = root.querySelector("input");
    this.range.addEventListener("input", () => this.#slide());
    root.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      root.setPointerCapture(event.pointerId);
      this.#follow(event);
    });
    root.addEventListener("pointermove", (event) => {
      if (root.hasPointerCapture(event.pointerId)) this.#follow(event);
    });
  }

  /** Object URLs live as long as they are shown. `after` may be missing while the drawing is awaited. */
  show(before, after, title = "") {
    this.#fill(".before", before);
    this.#fill(".after", after).alt = title && `The drawing: ${title}`;
    this.range.value = 50;
    this.#slide();
  }

  #fill(selector, blob) {
    const image = this.root.querySelector(selector);
    URL.revokeObjectURL(image.src);
    if (blob) image.src = URL.createObjectURL(blob);
    else image.removeAttribute("src");
    return image;
  }

  #follow(event) {
    const box = this.root.getBoundingClientRect();
    this.range.value = ((event.clientX - box.left) / box.width) * 100;
    this.#slide();
  }

  #slide() {
    this.root.style.setProperty("--border", `${this.range.value}%`);
  }
}
