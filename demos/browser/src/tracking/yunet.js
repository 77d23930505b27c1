/** What YuNet's outputs mean (Wu et al., Machine Intelligence Research 2023), as OpenCV's FaceDetectorYN reads them. */

import { boxIou, clamp, transformPoints } from "./geometry.js";

export const SIDE = 320; // of the network's square input; the picture lies in its upper left corner
const STRIDES = [8, 16, 32];
const MIN_SCORE = 0.6;
const MAX_OVERLAP = 0.3;

export const OUTPUTS = ["cls", "obj", "bbox", "kps"].flatMap((kind) => STRIDES.map((stride) => `${kind}_${stride}`));

/** Fills the network's input (3, SIDE, SIDE), blue, green, red planes, with a picture of at most SIDE x SIDE pixels. */
export function planes({ data, width, height, channels }, input) {
  input.fill(0);
  for (let y = 0, from = 0; y < height; y++) {
    for (let x = 0, to = y * SIDE; x < width; x++, to++, from += channels) {
      input[to] = data[from + 2];
      input[to + SIDE * SIDE] = data[from + 1];
      input[to + 2 * SIDE * SIDE] = data[from];
    }
  }
  return input;
}

/** Detections {box, score, eyes}, best first, in the picture of that input; outputs by name, as flat arrays. */
export function decode(outputs) {
  const faces = STRIDES.flatMap((stride) => ofStride(outputs, stride)).sort((a, b) => b.score - a.score);
  const kept = [];
  for (const face of faces) {
    // OpenCV compares boxes of whole pixels.
    const whole = face.box.map(Math.trunc);
    if (kept.every((other) => boxIou(other.whole, whole) <= MAX_OVERLAP)) kept.push({ ...face, whole });
  }
  // The network measures from the picture's corner, not from the middle of its first pixel.
  return kept.map(({ box: [x, y, ...size], score, eyes }) => {
    return { box: [x - 0.5, y - 0.5, ...size], score, eyes: eyes.map((value) => value - 0.5) };
  });
}

function ofStride(outputs, stride) {
  const [cls, obj, bbox, kps] = ["cls", "obj", "bbox", "kps"].map((kind) => outputs[`${kind}_${stride}`]);
  const columns = SIDE / stride;
  const faces = [];
  for (let cell = 0; cell < cls.length; cell++) {
    const score = Math.sqrt(clamp(cls[cell], 0, 1) * clamp(obj[cell], 0, 1));
    if (!(score > MIN_SCORE)) continue;
    const [column, row] = [cell % columns, Math.floor(cell / columns)];
    const [x, y] = [(column + bbox[4 * cell]) * stride, (row + bbox[4 * cell + 1]) * stride];
    const [width, height] = [Math.exp(bbox[4 * cell + 2]) * stride, Math.exp(bbox[4 * cell + 3]) * stride];
    const eyes = [0, 1, 2, 3].map((i) => (kps[10 * cell + i] + (i % 2 ? row : column)) * stride);
    faces.push({ box: [x - width / 2, y - height / 2, width, height], score, eyes });
  }
  return faces;
}

/** Detections under a transform without shear that may turn by quarters of a circle. */
export function moved(faces, to) {
  return faces.map(({ box: [x, y, width, height], score, eyes }) => {
    const [left, top, right, bottom] = transformPoints(to, [x, y, x + width, y + height]);
    const box = [Math.min(left, right), Math.min(top, bottom), Math.abs(right - left), Math.abs(bottom - top)];
    return { box, score, eyes: [...transformPoints(to, eyes)] };
  });
}
