/**
 * The network's input, cut out of a picture, as tracker/face/crop.py does it.
 *
 * A picture is {data, width, height, channels}: bytes in rows, of which the first three channels are red, green, blue.
 */

import { clamp, compose, invert, round, scaleOf, transformPoints } from "./geometry.js";

/** The view under cropFromImage as size x size RGB pixels, black outside the picture. */
export function warp(image, cropFromImage, size) {
  const factor = blockSide(cropFromImage);
  if (factor === 1) return sample(image, invert(cropFromImage), size);
  const reduced = averageBlocks(image, cropFromImage, size, factor);
  return reduced === null
    ? new Uint8Array(3 * size * size)
    : sample(reduced.image, invert(compose(cropFromImage, reduced.imageFromReduced)), size);
}

/** The side of the blocks of pixels that are averaged before sampling, so that a large face does not alias. */
const blockSide = (cropFromImage) => Math.max(1, Math.floor(Math.round(1e6 / scaleOf(cropFromImage)) / 1e6));

function sample({ data, width, height, channels }, [a, b, x, c, d, y], size) {
  const crop = new Uint8Array(3 * size * size);
  const line = channels * width;
  for (let row = 0, to = 0; row < size; row++) {
    for (let column = 0; column < size; column++, to += 3) {
      const u = a * column + b * row + x;
      const v = c * column + d * row + y;
      const left = Math.floor(u);
      const top = Math.floor(v);
      if (left < -1 || top < -1 || left >= width || top >= height) continue;
      // The share of each of the four pixels around (u, v); those outside the picture are black.
      const right = left + 1 < width ? u - left : 0;
      const below = top + 1 < height ? v - top : 0;
      const above = top < 0 ? 0 : 1 - (v - top);
      const beside = left < 0 ? 0 : 1 - (u - left);
      const from = channels * (Math.max(top, 0) * width + Math.max(left, 0));
      const next = left < 0 ? 0 : channels; // what lies outside has a share of 0, so any pixel will do for it
      const under = top < 0 ? 0 : line;
      for (let i = from; i < from + 3; i++) {
        const upper = beside * data[i] + (right && right * data[i + next]);
        const lower = below && beside * data[i + under] + (right && right * data[i + under + next]);
        crop[to + i - from] = above * upper + below * lower + 0.5;
      }
    }
  }
  return crop;
}

/** The blocks that the crop sees, averaged, and the transform from them to the picture; null where it sees none. */
function averageBlocks(image, cropFromImage, size, factor) {
  const edges = [-0.5, -0.5, size - 0.5, -0.5, -0.5, size - 0.5, size - 0.5, size - 0.5];
  const corners = transformPoints(invert(cropFromImage), edges);
  const [low, high] = [
    [0, 0],
    [0, 0],
  ];
  for (const axis of [0, 1]) {
    const values = [0, 2, 4, 6].map((i) => corners[i + axis]);
    const limit = axis ? image.height : image.width;
    low[axis] = clamp(Math.floor(Math.min(...values)) - factor, 0, limit);
    high[axis] = clamp(Math.ceil(Math.max(...values)) + factor + 1, 0, limit);
    if (high[axis] <= low[axis]) return null;
  }
  const offset = (factor - 1) / 2;
  const imageFromReduced = [factor, 0, low[0] + offset, 0, factor, low[1] + offset];
  return { image: averageArea(image, low, high, factor), imageFromReduced };
}

/** An area of a picture, from low up to high, in blocks of factor x factor pixels. */
function averageArea({ data, width, channels }, low, high, factor) {
  const [columns, rows] = [0, 1].map((axis) => Math.ceil((high[axis] - low[axis]) / factor));
  const sums = new Uint32Array(3 * columns * rows); // blocks that reach beyond the picture are black there
  for (let y = low[1]; y < high[1]; y++) {
    let block = 3 * columns * Math.floor((y - low[1]) / factor);
    let from = channels * (y * width + low[0]);
    for (let x = low[0]; x < high[0]; block += 3) {
      let red = 0;
      let green = 0;
      let blue = 0;
      for (const end = Math.min(x + factor, high[0]); x < end; x++, from += channels) {
        red += data[from];
        green += data[from + 1];
        blue += data[from + 2];
      }
      sums[block] += red;
      sums[block + 1] += green;
      sums[block + 2] += blue;
    }
  }
  const averaged = new Uint8Array(sums.length);
  for (let i = 0; i < sums.length; i++) averaged[i] = sums[i] / (factor * factor) + 0.5;
  return { data: averaged, width: columns, height: rows, channels: 3 };
}

/**
 * A picture shrunk to a longer side of at most longest pixels, each pixel the mean of the area it covers.
 *
 * Returns {image, imageFromSmall}; the image has three channels.
 */
export function shrink(image, longest) {
  const scale = Math.min(1, longest / Math.max(image.width, image.height));
  const [width, height] = [image.width, image.height].map((side) => Math.max(round(side * scale), 1));
  const [across, down] = [image.width / width, image.height / height];
  const imageFromSmall = [across, 0, 0.5 * across - 0.5, 0, down, 0.5 * down - 0.5];
  if (across === down && Number.isInteger(across)) {
    return { image: averageArea(image, [0, 0], [image.width, image.height], across), imageFromSmall };
  }
  const columns = coverage(image.width, width);
  const rows = coverage(image.height, height);
  const data = new Uint8Array(3 * width * height);
  const line = new Float64Array(3 * image.width);
  for (let row = 0, to = 0; row < height; row++) {
    addRows(image, rows[row], line.fill(0));
    for (let column = 0; column < width; column++, to += 3) {
      const { start, weights } = columns[column];
      let red = 0;
      let green = 0;
      let blue = 0;
      for (let i = 0, from = 3 * start; i < weights.length; i++, from += 3) {
        red += weights[i] * line[from];
        green += weights[i] * line[from + 1];
        blue += weights[i] * line[from + 2];
      }
      data[to] = red + 0.5;
      data[to + 1] = green + 0.5;
      data[to + 2] = blue + 0.5;
    }
  }
  return { image: { data, width, height, channels: 3 }, imageFromSmall };
}

function addRows({ data, width, channels }, { start, weights }, line) {
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i];
    for (let to = 0, from = channels * width * (start + i); to < line.length; to += 3, from += channels) {
      line[to] += weight * data[from];
      line[to + 1] += weight * data[from + 1];
      line[to + 2] += weight * data[from + 2];
    }
  }
}

/** For each of `to` pixels, which of `from` pixels it covers, and by how much of it. */
function coverage(from, to) {
  const step = from / to;
  return Array.from({ length: to }, (_, i) => {
    const [low, high] = [i * step, Math.min((i + 1) * step, from)];
    const start = Math.floor(low + 1e-9);
    const stop = Math.max(Math.ceil(high - 1e-9), start + 1);
    const parts = Array.from({ length: stop - start }, (_, k) => {
      return Math.min(start + k + 1, high) - Math.max(start + k, low);
    });
    return { start, weights: parts.map((part) => part / (high - low)) };
  });
}

/** The picture turned clockwise by 0, 90, 180 or 270 degrees, and the transform back. */
export function turn(image, degrees) {
  const { data, width, height, channels } = image;
  if (degrees === 0) return { image, imageFromTurned: [1, 0, 0, 0, 1, 0] };
  const [right, bottom] = [width - 1, height - 1];
  const imageFromTurned = {
    90: [0, 1, 0, -1, 0, bottom],
    180: [-1, 0, right, 0, -1, bottom],
    270: [0, -1, right, 1, 0, 0],
  }[degrees];
  const [a, b, x, c, d, y] = imageFromTurned;
  const [columns, rows] = degrees === 180 ? [width, height] : [height, width];
  const turned = new Uint8Array(channels * columns * rows);
  for (let row = 0, to = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      let from = channels * ((c * column + d * row + y) * width + a * column + b * row + x);
      for (let channel = 0; channel < channels; channel++) turned[to++] = data[from++];
    }
  }
  return { image: { data: turned, width: columns, height: rows, channels }, imageFromTurned };
}
