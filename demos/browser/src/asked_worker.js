/** A worker that is asked questions: each gets its own answer, or an Error of one sentence. */

export class AskedWorker {
  #worker;
  #answers = new Map();
  #number = 0;
  #failure = null; // why the worker cannot be used any more

  /** address: of the worker's script. */
  constructor(address) {
    // A worker that comes from a blob is bound by the page's content security policy, one from an address is not.
    const script = `import ${JSON.stringify(new URL(address, import.meta.url).href)};`;
    const blob = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
    this.#worker = new Worker(blob, { type: "module" });
    this.#worker.onmessage = ({ data }) => this.#settle(data);
    this.#worker.onerror = () => this.#fail("This browser cannot run the page's worker: try its newest version.");
  }

  /** The answer to {type, ...}. lent: what is handed over, not copied. */
  ask(question, lent = []) {
    if (this.#failure) return Promise.reject(this.#failure);
    const number = this.#number++;
    return new Promise((resolve, reject) => {
      this.#answers.set(number, { resolve, reject });
      this.#worker.postMessage({ ...question, number }, lent);
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
