/** Draws a frame with its faces: curves, points from teal (sure) to amber (unsure), corner brackets, id and score. */

// Of iBUG's 68 points: first and last index, and whether the curve is closed.
const CURVES = [
  [0, 16], [17, 21], [22, 26], [27, 30], [31, 35], [36, 41, true], [42, 47, true], [48, 59, true], [60, 67, true],
];
const [SURE, UNSURE] = [[45, 225, 200], [255, 176, 32]];
const [LINE, PLATE, TEXT] = ["rgba(225, 255, 248, 0.6)", "rgba(12, 20, 28, 0.8)", "#f5fafa"];
const LEAST_TEXT = 11; // CSS pixels

/**
 * Draws the picture and the faces on the canvas, which takes the picture's size.
 *
 * mirrored: as in a mirror, for a camera that faces its user; texts stay readable.
 */
export function draw(canvas, picture, faces, mirrored) {
  const { width, height } = picture;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.setTransform(mirrored ? -1 : 1, 0, 0, 1, mirrored ? width : 0, 0);
  context.drawImage(picture, 0, 0);
  context.setTransform(1, 0, 0, 1, 0, 0);
  // A pixel's centre is at an integer in the points and half a pixel farther on a canvas.
  const place = (points, i) => {
    const x = points[2 * i] + 0.5;
    return [mirrored ? width - x : x, points[2 * i + 1] + 0.5];
  };
  const shown = canvas.clientWidth || width;
  for (const face of faces) drawFace(context, face, place, width / shown);
}

function drawFace(context, { id, state, score, scores, points }, place, pixelsPerCss) {
  const places = Array.from({ length: points.length / 2 }, (_, i) => place(points, i));
  const [xs, ys] = [0, 1].map((k) => places.map((each) => each[k]));
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const size = Math.hypot(right - left, bottom - top) / Math.SQRT2;
  context.globalAlpha = state === "tracking" ? 1 : 0.5;
  drawCurves(context, places, Math.max(size / 200, Math.min(1.2 * pixelsPerCss, size / 100)));
  drawPoints(context, places, scores, Math.max(0.0105 * size, Math.min(1.8 * pixelsPerCss, 0.016 * size)));
  const margin = 0.08 * size;
  const box = [left - margin, top - margin, right + margin, bottom + margin];
  drawBrackets(context, box, size / 8, Math.max(size / 110, 1.5 * pixelsPerCss));
  const words = `${id}  ${state === "tracking" ? score.toFixed(2) : "not seen"}`;
  drawLabel(context, words, box, Math.max(0.075 * size, LEAST_TEXT * pixelsPerCss));
  context.globalAlpha = 1;
}

function drawCurves(context, places, width) {
  Object.assign(context, { strokeStyle: LINE, lineWidth: width, lineJoin: "round" });
  context.beginPath();
  for (const [first, last, closed] of CURVES) {
    context.moveTo(...places[first]);
    for (let i = first + 1; i <= last; i++) context.lineTo(...places[i]);
    if (closed) context.closePath();
  }
  context.stroke();
}

function drawPoints(context, places, scores, radius) {
  places.forEach(([x, y], i) => {
    const colour = SURE.map((sure, k) => Math.round(UNSURE[k] + (sure - UNSURE[k]) * scores[i]));
    context.fillStyle = `rgb(${colour})`;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fill();
  });
}

function drawBrackets(context, [left, top, right, bottom], length, width) {
  Object.assign(context, { strokeStyle: `rgb(${SURE})`, lineWidth: width, lineCap: "round" });
  context.beginPath();
  for (const [x, inward] of [[left, 1], [right, -1]]) {
    for (const [y, down] of [[top, 1], [bottom, -1]]) {
      context.moveTo(x + inward * length, y);
      context.lineTo(x, y);
      context.lineTo(x, y + down * length);
    }
  }
  context.stroke();
}

/** A plate with words above the box, or below its upper edge where there is no room above. */
function drawLabel(context, words, [left, top], height) {
  Object.assign(context, { font: `600 ${height}px system-ui, sans-serif`, textBaseline: "middle" });
  const width = context.measureText(words).width + height;
  const x = Math.min(Math.max(left, 0), Math.max(context.canvas.width - width, 0));
  const y = Math.max(top - 1.9 * height, 0);
  context.fillStyle = PLATE;
  context.beginPath();
  context.roundRect(x, y, width, 1.6 * height, 0.35 * height);
  context.fill();
  context.fillStyle = TEXT;
  context.fillText(words, x + height / 2, y + 0.85 * height);
}
