/** Runs the two networks in ONNX Runtime: crops to landmarks in the picture, and the picture to detections. */

import { shrink, turn, warp } from "./crop.js";
import { clamp, compose, extent, invert, transformPoints } from "./geometry.js";
import { cropFromImage } from "./roi.js";
import { readSpec } from "./spec.js";
import { decode, moved, planes, OUTPUTS, SIDE } from "./yunet.js";

const FAR = 10; // times the crop's side: no landmark of a face in it is farther away
const LONGEST_TURNED = 640; // a picture that is turned is shrunk to this longer side before
const [SMALLEST_PX, FARTHEST_PX] = [1, 1e6]; // of a detected box; what lies outside is no face

export class Estimator {
  /** ort: the module of ONNX Runtime. landmarkModel, detectorModel: the files' bytes. */
  static async load(ort, landmarkModel, detectorModel) {
    const estimator = new Estimator();
    const options = { executionProviders: ["wasm"], logSeverityLevel: 3 };
    const open = (model) => ort.InferenceSession.create(model, options).catch(refuse);
    estimator.ort = ort;
    estimator.spec = readSpec(landmarkModel);
    estimator.landmarks = await open(landmarkModel);
    estimator.detector = await open(detectorModel);
    return estimator;
  }

  /** The landmarks in each view of a picture, all in one call of the network: {points, scores, score}. */
  async measure(image, rois) {
    if (!rois.length) return [];
    const size = this.spec.size;
    const views = rois.map((roi) => cropFromImage(roi, size));
    const crops = new Uint8Array(3 * size * size * rois.length);
    views.forEach((view, i) => crops.set(warp(image, view, size), (i * crops.length) / rois.length));
    const input = new this.ort.Tensor("uint8", crops, [rois.length, size, size, 3]);
    const { points_px, scores } = await this.landmarks.run({ crops: input }, ["points_px", "scores"]);
    const count = points_px.dims[1];
    return views.map((view, i) => {
      const points = points_px.data.slice(2 * count * i, 2 * count * (i + 1));
      const sure = Float32Array.from(scores.data.subarray(count * i, count * (i + 1)), (score) => clamp(score, 0, 1));
      return inPicture(invert(view), points, sure, size);
    });
  }

  /** The faces in the picture turned clockwise by so many degrees, best first, in pixels of the picture as it is. */
  async detect(image, degrees = 0) {
    const whole = { image, imageFromSmall: [1, 0, 0, 0, 1, 0] };
    const { image: upright, imageFromSmall } = degrees ? shrink(image, LONGEST_TURNED) : whole;
    const { image: turned, imageFromTurned } = turn(upright, degrees);
    const { image: small, imageFromSmall: turnedFromSmall } = shrink(turned, SIDE);
    const input = new this.ort.Tensor("float32", planes(small), [1, 3, SIDE, SIDE]);
    const answers = await this.detector.run({ input }, OUTPUTS);
    const outputs = Object.fromEntries(OUTPUTS.map((name) => [name, answers[name].data]));
    const faces = moved(decode(outputs), compose(imageFromSmall, compose(imageFromTurned, turnedFromSmall)));
    return faces.filter(({ box, eyes }) => {
      const near = [...box, ...eyes].every((value) => Math.abs(value) <= FARTHEST_PX);
      return near && Math.min(box[2], box[3]) >= SMALLEST_PX;
    });
  }
}

function refuse(error) {
  throw new Error(`This browser cannot run the models (${error.message.split("\n")[0]}): try its newest version.`);
}

/** The network's answer in pixels of the picture; one whose numbers are invalid gets a score of 0. */
function inPicture(imageFromCrop, points, scores, size) {
  const [, , width, height] = extent(points);
  const valid =
    points.every((value) => Math.abs(value) < FAR * size) &&
    scores.every(Number.isFinite) &&
    Math.max(width, height) >= 1;
  if (!valid) {
    points = points.map((_, i) => [0, 0, size, 0, size, size, 0, size][i % 8]);
    scores = scores.map(() => 0);
  }
  const score = scores.reduce((sum, each) => sum + each, 0) / scores.length;
  return { points: transformPoints(imageFromCrop, points), scores, score };
}
