/** The detector's own worker, so that the faces that are followed do not wait for it: pictures in, detections out. */

import { answerQuestions, bytesOf, ort } from "./answering.js";
import model from "../../../tracker/weights/yunet_n_320_320.onnx?url";
import { Detector } from "./tracking/detector.js";

let detector = null;

answerQuestions({
  async load() {
    detector = await Detector.load(ort, await bytesOf(model));
    return [{}];
  },

  async detect({ image, degrees }) {
    return [{ faces: await detector.detect(image, degrees) }];
  },
});
