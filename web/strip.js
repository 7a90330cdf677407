/** The strip of earlier sketches: a picture, a name, and the state of those that are not done. */

import { isPending } from "./jobs.js";
import { doing } from "./panel.js";

const $ = (id) => document.getElementById(id);

export class Strip {
  #items = new Map();

  /** `onPick` and `onForget` get the record. */
  constructor({ onPick, onForget }) {
    this.onPick = onPick;
    this.onForget = onForget;
  }

  /** Adds the record at the front, or brings its item up to date. */
  show(record) {
    let item = this.#items.get(record.id);
    if (!item) {
      item = this.#made(record);
      this.#items.set(record.id, item);
      $("strip").prepend(item);
    }
    this.#fill(item, record);
    $("earlier").hidden = false;
  }

  mark(chosen) {
    for (const [id, item] of this.#items) item.firstChild.setAttribute("aria-pressed", id === chosen?.id);
  }

  drop(id) {
    const item = this.#items.get(id);
    if (!item) return;
    URL.revokeObjectURL(item.querySelector("img").src);
    item.remove();
    this.#items.delete(id);
    $("earlier").hidden = this.#items.size === 0;
  }

  #made(record) {
    const item = document.createElement("li");
    const pick = button("pick", () => this.onPick(record));
    pick.append(Object.assign(document.createElement("img"), { alt: "" }), document.createElement("span"));
    const forget = button("forget", () => this.onForget(record));
    forget.textContent = "×";
    item.append(pick, forget);
    return item;
  }

  #fill(item, record) {
    const label = record.state === "done" ? record.title : isPending(record) ? doing(record) : "Not drawn";
    const image = item.querySelector("img");
    item.dataset.state = isPending(record) ? "working" : record.state;
    item.querySelector("span").textContent = label;
    item.querySelector(".forget").setAttribute("aria-label", `Forget ${label}`);
    if (image.dataset.state === item.dataset.state) return;
    image.dataset.state = item.dataset.state;
    URL.revokeObjectURL(image.src);
    image.src = URL.createObjectURL(record.drawing ?? record.original);
  }
}

/** The second click of a double click is none: by then another item may lie under the pointer. */
function button(className, act) {
  const onclick = ({ detail }) => detail > 1 || act();
  return Object.assign(document.createElement("button"), { className, onclick });
}
