/** The earlier sketches of this browser, in IndexedDB; none if the browser refuses IndexedDB. */

const MAX_KEPT = 40;

const promised = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

async function opened() {
  const request = indexedDB.open("sketch-pad", 1);
  request.onupgradeneeded = () => request.result.createObjectStore("records", { keyPath: "id" });
  return promised(request);
}

export class History {
  #database = opened().catch(() => null);

  /** A full disk, or none, costs the strip an entry after a reload, not the drawing on the screen. */
  async #run(mode, act) {
    try {
      const database = await this.#database;
      return await promised(act(database.transaction("records", mode).objectStore("records")));
    } catch {
      return null;
    }
  }

  /** Newest first; what lies beyond the limit is dropped. */
  async all() {
    const records = (await this.#run("readonly", (store) => store.getAll())) ?? [];
    records.sort((a, b) => b.startedAt - a.startedAt);
    for (const { id } of records.splice(MAX_KEPT)) this.drop(id);
    return records;
  }

  read(id) {
    return this.#run("readonly", (store) => store.get(id));
  }

  keep(record) {
    return this.#run("readwrite", (store) => store.put(record));
  }

  /** Keeps what a record has become, unless another tab has dropped it. */
  renew(record) {
    return this.#run("readwrite", (store) => {
      const found = store.openCursor(record.id);
      found.addEventListener("success", () => found.result?.update(record));
      return found;
    });
  }

  drop(id) {
    return this.#run("readwrite", (store) => store.delete(id));
  }
}
