/** Where to look for a face: the square view of a detection or of its last landmarks (tracker/face/crop.py, tracking/roi.py). */

import { clamp, similarity } from "./geometry.js";

export const VIEW = 1.25; // side of the square view over the larger extent of the face's landmarks
const [LEAST_PX, MOST_PX] = [1e-3, 1e9]; // of a view's side
const OUTER_EYE_CORNERS = [36, 45]; // of iBUG's 68 points: the subject's right, then left
const YUNET_BOX = { right: 0, down: 0.14, side: 1.13 }; // what YuNet's box spans, over its side sqrt(w * h)

/** A view {center, side, rotation} becomes the transform to a crop of size x size pixels. */
export function cropFromImage({ center, side, rotation }, size) {
  const middle = (size - 1) / 2;
  return similarity(size / side, -rotation, center, [middle, middle]);
}

/** How far the line through the outer eye corners is turned clockwise from the horizontal. */
export function eyeRotation(points) {
  const [right, left] = OUTER_EYE_CORNERS;
  return Math.atan2(points[2 * left + 1] - points[2 * right + 1], points[2 * left] - points[2 * right]);
}

/** The view of a face: VIEW times the larger extent of its landmarks, along axes that are turned by rotation. */
export function roiOfLandmarks(points, rotation = eyeRotation(points)) {
  const cos = Math.cos(rotation);
  const sin = Math.sin(rotation);
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let i = 0; i < points.length; i += 2) {
    const across = cos * points[i] + sin * points[i + 1];
    const down = cos * points[i + 1] - sin * points[i];
    left = Math.min(left, across);
    right = Math.max(right, across);
    top = Math.min(top, down);
    bottom = Math.max(bottom, down);
  }
  const [x, y] = [(left + right) / 2, (top + bottom) / 2];
  const center = [cos * x - sin * y, sin * x + cos * y].map((value) => clamp(value, -MOST_PX, MOST_PX));
  return { center, side: clamp(VIEW * Math.max(right - left, bottom - top), LEAST_PX, MOST_PX), rotation };
}

/** The view of a face that YuNet found: its box, and its eyes, the subject's right one first. */
export function roiOfDetection({ box: [x, y, width, height], eyes }) {
  const rotation = Math.atan2(eyes[3] - eyes[1], eyes[2] - eyes[0]);
  const size = Math.sqrt(width * height);
  const [across, down] = [YUNET_BOX.right * size, YUNET_BOX.down * size];
  const [cos, sin] = [Math.cos(rotation), Math.sin(rotation)];
  const center = [x + width / 2 + cos * across - sin * down, y + height / 2 + sin * across + cos * down];
  return { center, side: YUNET_BOX.side * size, rotation };
}
