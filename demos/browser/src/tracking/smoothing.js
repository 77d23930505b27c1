/** The One Euro filter over the points of one face (tracking/smoothing.py): steady at rest, with little lag in motion. */

const [SHORTEST_S, LONGEST_S] = [1e-6, 3600]; // between two frames; others start the filter anew

/** By name, from the one that lags least to the steadiest: the cutoff at rest, how it rises, the speed's own cutoff. */
export const PRESETS = {
  accurate: { minCutoffHz: 0.3, beta: 60, derivativeCutoffHz: 2 },
  balanced: { minCutoffHz: 0.3, beta: 30, derivativeCutoffHz: 2 },
  steady: { minCutoffHz: 0.1, beta: 10, derivativeCutoffHz: 5 },
};

export class OneEuro {
  #options;
  #timestampS = Infinity;
  #points = new Float64Array(0);
  #velocity = new Float64Array(0); // face sizes a second
  #count = 0;

  constructor(options = PRESETS.balanced) {
    this.#options = options;
  }

  /** The smoothed points. faceSize: any measure of the face in pixels that grows with it. */
  next(points, timestampS, faceSize) {
    const stepS = timestampS - this.#timestampS;
    this.#timestampS = timestampS;
    if (stepS >= SHORTEST_S && stepS <= LONGEST_S && points.length === this.#points.length) {
      this.#advance(points, stepS, faceSize);
    } else {
      this.#points = Float64Array.from(points);
      this.#velocity = new Float64Array(points.length);
      this.#count = 1;
    }
    return this.#points.slice();
  }

  #advance(points, stepS, faceSize) {
    const { minCutoffHz, beta, derivativeCutoffHz } = this.#options;
    const [old, velocity] = [this.#points, this.#velocity];
    const quickness = weight(derivativeCutoffHz, stepS);
    this.#count++;
    for (let i = 0; i < points.length; i += 2) {
      const move = [points[i] - old[i], points[i + 1] - old[i + 1]];
      for (const k of [0, 1]) velocity[i + k] += quickness * (move[k] / (faceSize * stepS) - velocity[i + k]);
      const speed = Math.hypot(velocity[i], velocity[i + 1]);
      const taken = Math.max(weight(minCutoffHz + beta * speed, stepS), 1 / this.#count);
      for (const k of [0, 1]) old[i + k] += taken * move[k];
    }
  }
}

/** How much of the new value a first-order low-pass filter takes after stepS seconds, 0..1. */
function weight(cutoffHz, stepS) {
  const turns = 2 * Math.PI * cutoffHz * stepS;
  return turns / (1 + turns);
}
