/** The worker: loads the models, then answers each picture with its faces and gives the picture back. */

import * as ort from "onnxruntime-web/wasm";
import wasm from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";
import detectorModel from "../../../tracker/weights/yunet_n_320_320.onnx?url";
import landmarkModel from "../../../tracker/weights/edge68.onnx?url";
import { Estimator } from "./tracking/estimator.js";
import { Tracker } from "./tracking/tracker.js";

ort.env.wasm.wasmPaths = { wasm: new URL(wasm, import.meta.url).href };
ort.env.wasm.numThreads = 1; // more need headers that a plain host of files does not send

let tracker = null;
let canvas = null;

const ACTIONS = {
  load: async () => {
    tracker = await load();
    return [{}];
  },
  reset: () => {
    tracker.reset();
    return [{}];
  },
  step,
};

let work = Promise.resolve(); // one message after the other, also where an answer takes a while
self.onmessage = ({ data }) => {
  work = work.then(() => answer(data));
};

async function answer({ type, number, ...question }) {
  try {
    const [answer, ...lent] = await ACTIONS[type](question);
    self.postMessage({ number, ...answer }, lent);
  } catch (error) {
    self.postMessage({ number, error: error.message });
  }
}

async function load() {
  const [landmarks, detector] = await Promise.all([landmarkModel, detectorModel].map(bytesOf));
  const estimator = await Estimator.load(ort, landmarks, detector);
  const tracker = new Tracker(estimator);
  // The first call of a network is slow: make it here, with a grey picture that has no face.
  const grey = { data: new Uint8Array(3 * 320 * 320).fill(128), width: 320, height: 320, channels: 3 };
  await estimator.detect(grey);
  await estimator.measure(grey, [{ center: [160, 160], side: 200, rotation: 0 }]);
  return tracker;
}

async function bytesOf(address) {
  const file = address.split("/").at(-1);
  const answer = await fetch(new URL(address, import.meta.url)).catch(() => null);
  if (!answer?.ok) throw new Error(`The file ${file} of this page could not be loaded: reload the page.`);
  return new Uint8Array(await answer.arrayBuffer());
}

/** The faces of the next frame. The time runs from reading the pixels to the last smoothed point. */
async function step({ picture, timestampS }) {
  const startMs = performance.now();
  const faces = await tracker.step(pixelsOf(picture), timestampS);
  return [{ faces, picture, stepMs: performance.now() - startMs }, picture];
}

function pixelsOf(picture) {
  const { width, height } = picture;
  if (canvas?.width !== width || canvas?.height !== height) canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true, alpha: false });
  context.drawImage(picture, 0, 0);
  return { data: context.getImageData(0, 0, width, height).data, width, height, channels: 4 };
}
