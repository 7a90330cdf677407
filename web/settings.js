/** The address of the endpoint and the key for it: the defaults of the page, or what the user has set. */

import { Api } from "./api.js";

const $ = (id) => document.getElementById(id);

/** Where the browser blocks what sites store, values last as long as the page. */
const values = new Map();
const unstored = {
  getItem: (name) => values.get(name) ?? null,
  setItem: (name, value) => values.set(name, value),
  removeItem: (name) => values.delete(name),
};

function storage(name) {
  try {
    return window[name];
  } catch {
    return unstored;
  }
}

export class Settings {
  #served = "";

  constructor() {
    $("open-settings").onclick = () => this.#open();
    $("check").onclick = () => this.#check();
    $("settings").onclose = () => $("settings").returnValue === "save" && this.#save();
  }

  /** Loads the endpoint that the server of this page names; else takes `/graphql` on the same host. */
  async load() {
    const response = await fetch("config.json").catch(() => null);
    const config = response?.ok && (await response.json().catch(() => null));
    this.#served = config?.endpoint ?? new URL("/graphql", location).href;
  }

  api() {
    return new Api({
      endpoint: storage("localStorage").getItem("endpoint") || this.#served,
      key: storage("sessionStorage").getItem("key") ?? "",
    });
  }

  #open() {
    const { endpoint, key } = this.api();
    $("endpoint").value = endpoint;
    $("key").value = key;
    $("verdict").textContent = "";
    $("settings").returnValue = ""; // Escape would leave the last value
    $("settings").showModal();
  }

  #save() {
    const endpoint = $("endpoint").value.trim();
    if (endpoint && endpoint !== this.#served) storage("localStorage").setItem("endpoint", endpoint);
    else storage("localStorage").removeItem("endpoint");
    storage("sessionStorage").setItem("key", $("key").value.trim());
  }

  async #check() {
    const api = new Api({ endpoint: $("endpoint").value.trim() || this.#served, key: $("key").value.trim() });
    $("verdict").textContent = "Asking…";
    try {
      await api.ask("{ __typename }", {}, AbortSignal.timeout(10_000));
      $("verdict").textContent = "The endpoint answers.";
    } catch (problem) {
      const late = problem.name === "TimeoutError";
      $("verdict").textContent = late ? "The endpoint did not answer within 10 s." : problem.message;
    }
  }
}
