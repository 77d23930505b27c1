/** What both workers share: ONNX Runtime, the files of the models, and answers to the questions of an AskedWorker. */

import * as ort from "onnxruntime-web/wasm";
import wasm from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";

ort.env.wasm.wasmPaths = { wasm: new URL(wasm, import.meta.url).href };
ort.env.wasm.numThreads = 1; // more need headers that a plain host of files does not send

export { ort };

/** Answers each question {type, ...} with what actions[type] returns: [answer, ...what is handed over]. */
export function answerQuestions(actions) {
  let work = Promise.resolve(); // one question after the other, also where an answer takes a while
  self.onmessage = ({ data }) => {
    work = work.then(() => answer(actions, data));
  };
}

async function answer(actions, { type, number, ...question }) {
  try {
    const [answer, ...lent] = await actions[type](question);
    self.postMessage({ number, ...answer }, lent);
  } catch (error) {
    self.postMessage({ number, error: error.message });
  }
}

/** The content of a file of this page. */
export async function bytesOf(address) {
  const file = address.split("/").at(-1);
  const answer = await fetch(new URL(address, import.meta.url)).catch(() => null);
  if (!answer?.ok) throw new Error(`The file ${file} of this page could not be loaded: reload the page.`);
  return new Uint8Array(await answer.arrayBuffer());
}
