/** When to run the detector, and on which turned picture (DetectionSchedule and Search of the Python tracker). */

const [INTERVAL_S, HURRY_S] = [1, 0.1];
const DEGREES = [0, 90, 270, 180];

export class DetectionSchedule {
  #lastS = -Infinity;

  /** In every frame without a face; every 0.1 s while one coasts; else every second. */
  due(measured, coasting, nowS) {
    const waitedS = nowS - this.#lastS;
    return measured === 0 || waitedS < 0 || waitedS >= (coasting ? HURRY_S : INTERVAL_S);
  }

  detected(nowS) {
    this.#lastS = nowS;
  }
}

/** By how many degrees the picture is turned before it is searched: one angle at each call, from 0 on after begin. */
export class Turns {
  count = DEGREES.length;
  #next = 0;

  begin() {
    this.#next = 0;
  }

  next() {
    return DEGREES[this.#next++ % DEGREES.length];
  }
}
