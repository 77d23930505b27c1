/** Runs the landmark model in ONNX Runtime: crops to landmarks in the picture. */

import { warp } from "./crop.js";
import { clamp, extent, invert, transformPoints, transformVariances } from "./geometry.js";
import { openModel } from "./model.js";
import { cropFromImage } from "./roi.js";
import { readSpec } from "./spec.js";

const FAR = 10; // times the crop's side: no landmark of a face in it is farther away

export class Estimator {
  /** ort: the module of ONNX Runtime. model: the file's bytes. */
  static async load(ort, model) {
    const estimator = new Estimator();
    estimator.ort = ort;
    estimator.spec = readSpec(model);
    estimator.landmarks = await openModel(ort, model);
    return estimator;
  }

  /** The landmarks in each view of a picture, all in one call of the network: {points, variances, scores, score}. */
  async measure(image, rois) {
    if (!rois.length) return [];
    const size = this.spec.size;
    const views = rois.map((roi) => cropFromImage(roi, size));
    const crops = new Uint8Array(3 * size * size * rois.length);
    views.forEach((view, i) => crops.set(warp(image, view, size), (i * crops.length) / rois.length));
    const input = new this.ort.Tensor("uint8", crops, [rois.length, size, size, 3]);
    const outputs = ["points_px", "scores", "covariances_px2"];
    const { points_px, scores, covariances_px2 } = await this.landmarks.run({ crops: input }, outputs);
    const count = points_px.dims[1];
    return views.map((view, i) => {
      const points = points_px.data.slice(2 * count * i, 2 * count * (i + 1));
      const sure = Float32Array.from(scores.data.subarray(count * i, count * (i + 1)), (score) => clamp(score, 0, 1));
      const covariances = covariances_px2.data.subarray(3 * count * i, 3 * count * (i + 1));
      return inPicture(invert(view), points, covariances, sure, size);
    });
  }
}

/** The network's answer in pixels of the picture; one whose numbers are invalid gets a score of 0. */
function inPicture(imageFromCrop, points, covariances, scores, size) {
  const [, , width, height] = extent(points);
  const valid =
    points.every((value) => Math.abs(value) < FAR * size) &&
    scores.every(Number.isFinite) &&
    covariances.every((value, i) => Math.abs(value) <= (FAR * size) ** 2 && (i % 3 === 1 || value >= -1)) &&
    Math.max(width, height) >= 1;
  if (!valid) {
    points = points.map((_, i) => [0, 0, size, 0, size, size, 0, size][i % 8]);
    scores = scores.map(() => 0);
    covariances = covariances.map(() => 0);
  }
  const score = scores.reduce((sum, each) => sum + each, 0) / scores.length;
  const variances = transformVariances(imageFromCrop, covariances);
  return { points: transformPoints(imageFromCrop, points), variances, scores, score };
}
