/** The page's side of the worker: pictures in, faces out, one after the other. */

import address from "./worker.js?worker&url";

export class FaceWorker {
  #answers = new Map();
  #number = 0;
  #failure = null; // why the worker cannot be used any more

  constructor() {
    // A worker that comes from a blob is bound by the page's content security policy, one from an address is not.
    const script = `import ${JSON.stringify(new URL(address, import.meta.url).href)};`;
    const blob = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
    this.worker = new Worker(blob, { type: "module" });
    this.worker.onmessage = ({ data }) => this.#settle(data);
    this.worker.onerror = () => this.#fail("This browser cannot run the page's worker: try its newest version.");
  }

  /** Loads the models. */
  load() {
    return this.#ask({ type: "load" });
  }

  /** Forgets every face, as before a new video. */
  reset() {
    return this.#ask({ type: "reset" });
  }

  /** {faces, stepMs, picture} of the next frame, an ImageBitmap that is lent to the worker meanwhile. */
  step(picture, timestampS) {
    return this.#ask({ type: "step", picture, timestampS }, [picture]);
  }

  #ask(question, lent = []) {
    if (this.#failure) return Promise.reject(this.#failure);
    const number = this.#number++;
    return new Promise((resolve, reject) => {
      this.#answers.set(number, { resolve, reject });
      this.worker.postMessage({ ...question, number }, lent);
    });
  }

  #settle({ number, error, ...answer }) {
    const { resolve, reject } = this.#answers.get(number);
    this.#answers.delete(number);
    if (error === undefined) resolve(answer);
    else reject(new Error(error));
  }

  #fail(sentence) {
    this.#failure = new Error(sentence);
    for (const { reject } of this.#answers.values()) reject(this.#failure);
    this.#answers.clear();
  }
}
