/** The detector at work beside the tracking: begun in one frame, its answer is taken in that frame or in a later one. */

import { boxIou } from "./geometry.js";
import { moved } from "./yunet.js";

const LONGEST_S = 0.5; // an older answer says nothing of where faces are now
const SHOWN_IOU = 0.2; // a detected box shows the face whose extent it overlaps by more

export class Detections {
  #detect;
  #unanswered = 0;
  #last = null; // the detection that was begun last, until its answer is taken or dropped

  /** detect: (image, degrees) to a Promise of detections. The image may change once it has returned. */
  constructor(detect) {
    this.#detect = detect;
  }

  /** Whether the detector has nothing to do. */
  get free() {
    return this.#unanswered === 0;
  }

  /** Begins a detection in the frame of that time, in which those tracks are known. An earlier one is dropped. */
  begin(image, degrees, timeS, tracks) {
    const begun = { timeS, tracks, arrived: false };
    this.#unanswered++;
    begun.answer = this.#detect(image, degrees).finally(() => {
      this.#unanswered--;
      begun.arrived = true;
    });
    begun.answer.catch(() => {}); // thrown where the answer is taken
    this.#last = begun;
  }

  /** Forgets the detection under way, whose frame shows another scene than those that follow. */
  drop() {
    this.#last = null;
  }

  /** The detections of the frame in which they were begun, waiting for them. */
  async wait() {
    return this.#take().answer;
  }

  /**
   * {faces, measured} of an earlier frame, or null where none have arrived: the detections, each moved as the track that
   * it shows has moved since, and the ids of the tracks that were measured in that frame.
   */
  async takeArrived(nowS, tracks) {
    if (!this.#last?.arrived) return null;
    const { timeS, tracks: before, answer } = this.#take();
    const faces = await answer;
    if (nowS - timeS > LONGEST_S) return null;
    return {
      faces: faces.flatMap((face) => {
        const [x, y] = shift(nearest(face.box, before, timeS), timeS, tracks, nowS);
        return moved([face], [1, 0, x, 0, 1, y]);
      }),
      measured: before.filter((track) => track.measured).map(({ id }) => id),
    };
  }

  #take() {
    const taken = this.#last;
    this.#last = null;
    return taken;
  }
}

/** The track that a detected box shows at that time, or undefined. */
function nearest(box, tracks, timeS) {
  const rated = tracks.map((track) => [boxIou(track.expectedBox(timeS), box), track]);
  const [overlap, track] = rated.reduce((a, b) => (b[0] > a[0] ? b : a), [SHOWN_IOU, undefined]);
  return overlap > SHOWN_IOU ? track : undefined;
}

/** How far the track of an earlier frame has moved since; not at all where it is followed no more. */
function shift(before, timeS, tracks, nowS) {
  const now = before && tracks.find(({ id }) => id === before.id);
  if (!now) return [0, 0];
  const [[x, y], [toX, toY]] = [before.expectedBox(timeS), now.expectedBox(nowS)].map(middle);
  return [toX - x, toY - y];
}

const middle = ([x, y, width, height]) => [x + width / 2, y + height / 2];
