/** Where a video is cut to another scene: the picture changes as a whole, in place and in colours (tracking/scene_cut.py). */

const [ROWS, COLUMNS] = [32, 4]; // every so many are compared
const CHANGE = 30; // mean difference, of 255, from which on two pictures may be of two scenes
const RECOLOUR = 0.2; // and the share of the colours, counted twice, that changed

export class SceneCut {
  #before = null;

  /** Whether a picture shows another scene than the last one. The first shows one, too. */
  next(image) {
    const now = thinned(image);
    const before = this.#before;
    this.#before = now;
    if (before === null || before.width !== now.width || before.data.length !== now.data.length) return true;
    let difference = 0;
    for (let i = 0; i < now.data.length; i++) difference += Math.abs(now.data[i] - before.data[i]);
    if (difference <= CHANGE * now.data.length) return false;
    const [old, fresh] = [colours(before.data), colours(now.data)];
    return fresh.reduce((sum, share, i) => sum + Math.abs(share - old[i]), 0) > RECOLOUR;
  }
}

function thinned({ data, width, height, channels }) {
  const [columns, rows] = [Math.ceil(width / COLUMNS), Math.ceil(height / ROWS)];
  const thin = new Uint8Array(3 * columns * rows);
  for (let y = 0, to = 0; y < height; y += ROWS) {
    for (let x = 0; x < width; x += COLUMNS) {
      const from = channels * (y * width + x);
      for (let channel = 0; channel < 3; channel++) thin[to++] = data[from + channel];
    }
  }
  return { data: thin, width: columns };
}

/** How the values of each channel are spread over 16 steps, 1 in all. */
function colours(data) {
  const shares = new Float64Array(48);
  for (let i = 0; i < data.length; i++) shares[16 * (i % 3) + (data[i] >> 4)] += 1 / data.length;
  return shares;
}
