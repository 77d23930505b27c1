/** How sure the landmark model must be that a view shows a face (tracking/presence.py). */

import { clamp } from "./geometry.js";

const [SURE, DOUBTED] = [1 / 3, -1 / 2];
const [PLAIN, BEST, WEIGHT] = [0.7, 0.8, 3]; // of a detector's score

export class Presence {
  /** minScore: the mean point score, 0..1, from which on a face that is followed is still one. */
  constructor(minScore) {
    this.minScore = minScore;
  }

  /** From this score on a new face is taken for one before other searches have been tried. */
  get sure() {
    return this.#above(SURE);
  }

  /** What is wanted of a new face: the less, the surer the detector is of it. */
  ofNew(detectorScore) {
    return this.#above(WEIGHT * (PLAIN - Math.min(detectorScore, BEST)));
  }

  /** What is wanted of a face to be followed on; less while it has never scored as a sure one. */
  ofFollowed(sure) {
    return sure ? this.minScore : this.#above(DOUBTED);
  }

  #above(part) {
    return clamp(this.minScore + part * (1 - this.minScore), 0, 1);
  }
}
