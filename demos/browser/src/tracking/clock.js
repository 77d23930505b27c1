/** The time by which faces are followed: that of the frames, mended where it runs back a little (tracking/clock.py). */

const KEPT = 5; // steps of the time, whose median is the usual interval
const FALLBACK_S = 1 / 30; // where no interval is known yet
const LONGEST_S = 3600; // two frames farther apart are no frame rate, but a pause

export class Clock {
  /** The usual time between two frames so far, 0 before the second one. */
  intervalS = 0;
  #coastS;
  #lastS = null;
  #aheadS = 0;
  #stepsS = [];

  /** coastS: time that runs back by no more is taken as a small error; farther back is another video. */
  constructor(coastS) {
    this.#coastS = coastS;
  }

  /** The time in seconds of a frame with that timestamp. */
  next(timestampS) {
    let nowS = timestampS + this.#aheadS;
    if (this.#lastS !== null) {
      const stepS = nowS - this.#lastS;
      if (stepS < 0 && stepS >= -this.#coastS) {
        const mendedS = this.#lastS + (this.intervalS || FALLBACK_S);
        this.#aheadS += mendedS - nowS;
        nowS = mendedS;
      } else if (stepS > 0) {
        this.#note(stepS);
      }
    }
    this.#lastS = nowS;
    return nowS;
  }

  #note(stepS) {
    this.#stepsS = [...this.#stepsS, stepS].slice(-KEPT);
    const sorted = this.#stepsS.toSorted((a, b) => a - b);
    const usualS = sorted[Math.floor((sorted.length - 1) / 2)];
    this.intervalS = usualS <= LONGEST_S ? usualS : 0;
  }
}
