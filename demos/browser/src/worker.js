/** The tracking worker: loads the models, then answers each picture with its faces and gives the picture back. */

import { answerQuestions, bytesOf, ort } from "./answering.js";
import { AskedWorker } from "./asked_worker.js";
import detectorAddress from "./detector_worker.js?worker&url";
import model from "../../../tracker/weights/edge68.onnx?url";
import { Estimator } from "./tracking/estimator.js";
import { Tracker } from "./tracking/tracker.js";

let tracker = null;
let canvas = null;

answerQuestions({
  async load() {
    const worker = new AskedWorker(detectorAddress);
    const [estimator] = await Promise.all([loadEstimator(), worker.ask({ type: "load" })]);
    const detect = async (image, degrees) => (await worker.ask({ type: "detect", image, degrees })).faces;
    // The first call of a network is slow: make it here, with a grey picture that has no face.
    const grey = { data: new Uint8Array(3 * 320 * 320).fill(128), width: 320, height: 320, channels: 3 };
    const roi = { center: [160, 160], side: 200, rotation: 0 };
    await Promise.all([detect(grey, 0), estimator.measure(grey, [roi])]);
    tracker = new Tracker(estimator, detect);
    return [{}];
  },

  reset() {
    tracker.reset();
    return [{}];
  },

  /** The faces of the next frame. The time runs from reading the pixels to the last smoothed point. */
  async step({ picture, timestampS }) {
    const startMs = performance.now();
    const faces = await tracker.step(pixelsOf(picture), timestampS);
    return [{ faces, picture, stepMs: performance.now() - startMs }, picture];
  },
});

async function loadEstimator() {
  return Estimator.load(ort, await bytesOf(model));
}

function pixelsOf(picture) {
  const { width, height } = picture;
  if (canvas?.width !== width || canvas?.height !== height) canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true, alpha: false });
  context.drawImage(picture, 0, 0);
  return { data: context.getImageData(0, 0, width, height).data, width, height, channels: 4 };
}
