/** The Kalman filter over the points of one face (tracking/smoothing.py): steady at rest, with little lag in motion. */

const [SHORTEST_S, LONGEST_S] = [1e-6, 3600]; // between two frames; others start the filter anew
const [REST, START] = [0.2, 0.3];
const [LEAST, MOST] = [1e-6, 1e24]; // of a variance: in squared face sizes, in squared pixels

/** By name, from the one that lags least to the steadiest. */
export const PRESETS = {
  accurate: { noise: 0.009, restlessness: 2e-5, restlessnessBySpeed: 0.02, agility: 3 },
  balanced: { noise: 0.024, restlessness: 3e-5, restlessnessBySpeed: 0.017, agility: 3 },
  steady: { noise: 0.11, restlessness: 2e-5, restlessnessBySpeed: 0.02, agility: 5 },
};

export class Kalman {
  #options;
  #timestampS = Infinity;
  #points = new Float64Array(0);
  #velocity = new Float64Array(0); // pixels a second
  #position = new Float64Array(0); // variance of the position; of both; of the velocity
  #mixed = new Float64Array(0);
  #speed = new Float64Array(0);

  constructor(options = PRESETS.balanced) {
    this.#options = options;
  }

  /**
   * The smoothed points. faceSize: any measure of the face in pixels that grows with it. variances: of each coordinate,
   * by the model, in squared pixels.
   */
  next(points, timestampS, faceSize, variances) {
    const stepS = timestampS - this.#timestampS;
    this.#timestampS = timestampS;
    const noise = Float64Array.from(
      variances,
      (variance) => this.#options.noise * Math.min(Math.max(variance, LEAST * faceSize ** 2), MOST),
    );
    if (stepS >= SHORTEST_S && stepS <= LONGEST_S && points.length === this.#points.length) {
      this.#advance(points, noise, stepS, faceSize);
    } else {
      this.#points = Float64Array.from(points);
      this.#velocity = new Float64Array(points.length);
      this.#position = noise;
      this.#mixed = new Float64Array(points.length);
      this.#speed = new Float64Array(points.length).fill((START * faceSize) ** 2);
    }
    return this.#points.slice();
  }

  #advance(points, noise, stepS, faceSize) {
    const { restlessness, restlessnessBySpeed, agility } = this.#options;
    const [old, velocity] = [this.#points, this.#velocity];
    const [position, mixed, speed] = [this.#position, this.#mixed, this.#speed];
    let squared = 0;
    for (let i = 0; i < points.length; i++) squared += velocity[i] ** 2 - REST * speed[i];
    const pixelsPerS = Math.sqrt(Math.max((2 * squared) / points.length, 0));
    const density = restlessness * faceSize ** 2 + restlessnessBySpeed * faceSize * pixelsPerS;
    for (let i = 0; i < points.length; i++) {
      const predicted = old[i] + stepS * velocity[i];
      const residual = points[i] - predicted;
      position[i] += stepS * (2 * mixed[i] + stepS * speed[i]);
      const own = density * (1 + agility * (residual ** 2 / (position[i] + noise[i])) ** 2);
      position[i] += (own * stepS ** 3) / 3;
      mixed[i] += stepS * speed[i] + (own * stepS ** 2) / 2;
      speed[i] += own * stepS;
      const sum = position[i] + noise[i];
      const [gain, gainS] = [position[i] / sum, mixed[i] / sum];
      old[i] = predicted + gain * residual;
      velocity[i] += gainS * residual;
      speed[i] = Math.max(speed[i] - gainS * mixed[i], gainS ** 2 * noise[i]);
      position[i] *= noise[i] / sum;
      mixed[i] *= noise[i] / sum;
    }
  }
}
