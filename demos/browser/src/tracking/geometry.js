/**
 * Points, boxes and similarity transforms, as tracker/face/geometry.py has them.
 *
 * Pixel centres lie at integers, x to the right, y down. Points are flat: x0, y0, x1, y1, ... A box is
 * [x, y, width, height]. A transform aFromB is [a, b, x, c, d, y], two rows of a matrix: it takes points of b to a.
 */

/** The nearest whole number; of two that are equally near, the even one, as NumPy rounds. */
export function round(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}

export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** The points of b in a. */
export function transformPoints([a, b, x, c, d, y], points) {
  const moved = new Float64Array(points.length);
  for (let i = 0; i < points.length; i += 2) {
    moved[i] = a * points[i] + b * points[i + 1] + x;
    moved[i + 1] = c * points[i] + d * points[i + 1] + y;
  }
  return moved;
}

/** The variances of x and y in a, flat, of points whose covariances in b are flat: xx0, xy0, yy0, xx1, ... */
export function transformVariances([a, b, , c, d], covariances) {
  const moved = new Float64Array((2 * covariances.length) / 3);
  for (let k = 0; 3 * k < covariances.length; k++) {
    const [xx, xy, yy] = covariances.slice(3 * k, 3 * k + 3);
    moved[2 * k] = a * a * xx + 2 * a * b * xy + b * b * yy;
    moved[2 * k + 1] = c * c * xx + 2 * c * d * xy + d * d * yy;
  }
  return moved;
}

/** Scales and rotates about the point source, and puts that point at target. A positive rotation turns x towards y. */
export function similarity(scale, rotation, [x, y], [toX, toY]) {
  const cos = scale * Math.cos(rotation);
  const sin = scale * Math.sin(rotation);
  return [cos, -sin, toX - cos * x + sin * y, sin, cos, toY - sin * x - cos * y];
}

/** aFromC. */
export function compose([a, b, x, c, d, y], [e, f, u, g, h, v]) {
  return [a * e + b * g, a * f + b * h, a * u + b * v + x, c * e + d * g, c * f + d * h, c * u + d * v + y];
}

/** bFromA. */
export function invert([a, b, x, c, d, y]) {
  const determinant = a * d - b * c;
  if (determinant === 0) throw new Error("a transform that flattens the plane has no inverse");
  return [d, -b, b * y - d * x, -c, a, c * x - a * y].map((value) => value / determinant);
}

/** How many pixels of a one pixel of b is. */
export const scaleOf = ([a, b, , c, d]) => Math.sqrt(Math.abs(a * d - b * c));

/** The smallest upright box around the points. */
export function extent(points) {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (let i = 0; i < points.length; i += 2) {
    left = Math.min(left, points[i]);
    right = Math.max(right, points[i]);
    top = Math.min(top, points[i + 1]);
    bottom = Math.max(bottom, points[i + 1]);
  }
  return [left, top, right - left, bottom - top];
}

/** Overlap of two boxes: intersection over union, 0 when both are empty. */
export function boxIou(a, b) {
  const width = Math.min(a[0] + a[2], b[0] + b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[1] + a[3], b[1] + b[3]) - Math.max(a[1], b[1]);
  const shared = Math.max(width, 0) * Math.max(height, 0);
  const union = a[2] * a[3] + b[2] * b[3] - shared;
  return union > 0 ? shared / union : 0;
}
