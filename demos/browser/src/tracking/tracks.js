/**
 * Which face is which: faces that are measured, coast over short gaps, and are given up (tracking/association.py).
 *
 * A sighting is {points, variances, scores, score}: where landmarks were measured, how far off each coordinate may be, how
 * sure each is, and that it is a face.
 */

import { cheapestPairs } from "./association.js";
import { boxIou, clamp, extent } from "./geometry.js";

const SAME_FACE_IOU = 0.4; // extents that overlap more are one face
const TURNED_IOU = 0.1; // the extents of a face measured rightly and upside down overlap by more
const FARTHEST_IOU = 0.2; // a face found again overlaps the place where it was expected by more
const FARTHEST = 0.6; // and its landmarks lie nearer to it, in face sizes
const LEAP = 0.5; // face sizes from the expected place within one frame that are no motion, but another face
const FLASH = 0.1; // a face that moves less, in face sizes, while the whole picture changes, is still the same
const SETTLING_S = 0.05; // a velocity is trusted after so long
const GHOST = 3; // runs of the detector in a row without a face there, after which another one may take its place
const GONE = 2; // frames after a cut in which a face was not seen, after which another one may take its place
const HORIZON_S = 0.2; // no motion is foretold for longer
const APART = 1e3; // the cost of a pair that is none

/** One face as last measured, never changed. */
export class Track {
  constructor(fields) {
    Object.assign(this, { velocity: [0, 0], measured: true, unconfirmed: 0, doubtful: false, missed: 0, sure: true });
    Object.assign(this, fields);
    this.box ??= extent(this.points);
  }

  with(fields) {
    return new Track({ ...this, ...fields });
  }

  /** The side of a square as large as the extent, at least a pixel. */
  get size() {
    return Math.max(Math.sqrt(this.box[2] * this.box[3]), 1);
  }

  /** How far it should have moved by then, if it goes on as it did. */
  ahead(timeS) {
    const stepS = clamp(timeS - this.seenS, 0, HORIZON_S);
    return this.velocity.map((speed) => stepS * speed);
  }

  expectedBox(timeS) {
    const [x, y] = this.ahead(timeS);
    return [this.box[0] + x, this.box[1] + y, this.box[2], this.box[3]];
  }

  /** Mean distance of points from those expected, in face sizes. */
  residual(points, timeS) {
    const [x, y] = this.ahead(timeS);
    let sum = 0;
    for (let i = 0; i < points.length; i += 2) {
      sum += Math.hypot(points[i] - this.points[i] - x, points[i + 1] - this.points[i + 1] - y);
    }
    return (2 * sum) / (points.length * this.size);
  }

  /** The same face, measured again. */
  movedTo({ points, variances, scores, score }, timeS) {
    const stepS = timeS - this.seenS;
    const moved = [0, 0];
    for (let i = 0; i < points.length; i++) moved[i % 2] += (2 * (points[i] - this.points[i])) / points.length;
    const velocity = this.velocity.map((speed, k) => {
      return stepS > 0 ? speed + (moved[k] - stepS * speed) / (stepS + SETTLING_S) : speed;
    });
    const { id, unconfirmed, sure } = this;
    return new Track({ id, points, variances, scores, score, seenS: timeS, velocity, unconfirmed, sure });
  }

  /** Not so for a face that the detector does not confirm, and for one that did not come back after a cut. */
  get keepsItsPlace() {
    return this.unconfirmed < GHOST && !(this.doubtful && this.missed >= GONE);
  }
}

/** The faces that are followed, oldest first. */
export class TrackManager {
  tracks = [];
  #nowS = 0;
  #nextId = 1;

  /** coastS, coastFrames: how long a face is held after it was last seen, whichever is longer. */
  constructor(maxFaces, coastS, coastFrames) {
    Object.assign(this, { maxFaces, coastS, coastFrames });
  }

  /** Look at a frame of that time: no face has been measured in it yet, those too old are given up. */
  nextFrame(nowS, intervalS) {
    this.#nowS = nowS;
    this.lost = [];
    this.tracks = this.tracks.map((track) => track.with({ measured: false, missed: track.missed + 1 }));
    const holdS = Math.max(this.coastS, (this.coastFrames + 0.5) * intervalS);
    for (const track of this.tracks) {
      if (!(nowS >= track.seenS && nowS - track.seenS <= holdS)) this.giveUp(track);
    }
  }

  /** Give all faces up: where they were says nothing of the next picture. */
  forget() {
    this.tracks.forEach((track) => this.giveUp(track));
  }

  /** The picture has changed as a whole: faces that moved are treated as new. */
  doubt() {
    this.tracks = this.tracks.map((track) => track.with({ doubtful: true }));
  }

  /** What was measured where the faces were looked for: pairs [track, sighting]. Those without a place coast. */
  followed(pairs) {
    const taken = [];
    const rated = pairs.map(([track, seen]) => [track.residual(seen.points, this.#nowS), track, seen]);
    for (const [residual, track, seen] of rated.sort((a, b) => a[0] - b[0] || a[1].id - b[1].id)) {
      const box = extent(seen.points);
      if (residual > (track.doubtful ? FLASH : LEAP) || taken.some((other) => overlaps(box, other))) continue;
      taken.push(box);
      this.#put(track.movedTo(seen, this.#nowS));
    }
  }

  /** Note which of the faces measured in this frame, of those with these ids, the detector sees as well. */
  confirm(boxes, ids = this.tracks.map(({ id }) => id)) {
    for (const track of this.tracks.filter((each) => each.measured && ids.includes(each.id))) {
      const seen = boxes.some((box) => boxIou(track.box, box) > FARTHEST_IOU);
      this.#put(track.with({ unconfirmed: seen ? 0 : track.unconfirmed + 1 }));
    }
  }

  /**
   * Faces that came from the detector: coasting ones that are there again, and new ones. A sure one takes the place of
   * one that was measured there and never was sure. Returns their ids.
   */
  found(sightings, sure = true) {
    const fresh = [];
    for (const seen of sightings) {
      const box = extent(seen.points);
      const known = this.known(box, sure) || (!sure && this.awaited(box, true));
      if (!known && !fresh.some((other) => overlaps(box, extent(other.points)))) fresh.push(seen);
    }
    const back = this.#assign(fresh);
    if (sure) {
      fresh.forEach((seen, i) => {
        const unsure = this.#unsureAt(extent(seen.points));
        if (unsure) back.set(i, unsure);
      });
    }
    const ids = [];
    for (const [i, track] of back) {
      this.#put(track.movedTo(fresh[i], this.#nowS).with({ unconfirmed: 0, sure: track.sure || sure }));
      ids.push(track.id);
    }
    const others = fresh.filter((_, i) => !back.has(i));
    for (const seen of others.slice(0, Math.max(this.room(), 0))) {
      const track = new Track({ id: this.#nextId++, ...seen, seenS: this.#nowS, sure });
      this.tracks.push(track);
      ids.push(track.id);
    }
    this.#giveUpThoseTooMany();
    return ids;
  }

  /** Whether a box shows a face that has been measured in this frame already. */
  known(box, onlySure = false) {
    const measured = this.tracks.filter((track) => track.measured && (track.sure || !onlySure));
    return measured.some((track) => overlaps(track.box, box));
  }

  /** The face measured in this frame that was never sure and that a box shows, perhaps another way up. */
  #unsureAt(box) {
    return this.tracks.find((track) => track.measured && !track.sure && boxIou(track.box, box) > TURNED_IOU);
  }

  /** The face measured in this frame that a detector's box shows, or null. */
  shownBy(box) {
    let [most, shown] = [FARTHEST_IOU, null];
    for (const track of this.tracks) {
      const overlap = track.measured ? boxIou(track.box, box) : 0;
      if (overlap > most) [most, shown] = [overlap, track];
    }
    return shown;
  }

  /** Whether a box touches the place where a face that coasts is expected: it may be that face again. */
  awaited(box, onlySure = false) {
    const coasting = this.tracks.filter((track) => !track.measured && (track.sure || !onlySure));
    return coasting.some((track) => boxIou(track.expectedBox(this.#nowS), box) > 0);
  }

  /** How many new faces may still be found: the places that no face keeps. */
  room() {
    return this.maxFaces - this.tracks.filter((track) => track.keepsItsPlace).length;
  }

  giveUp(track) {
    this.tracks = this.tracks.filter((each) => each.id !== track.id);
    this.lost.push(track.id);
  }

  /** By the sighting's place in the list, the coasting face that it is: the pairs nearest together. */
  #assign(sightings) {
    const coasting = this.tracks.filter((track) => !track.measured);
    if (!coasting.length || !sightings.length) return new Map();
    const costs = sightings.map((seen) => coasting.map((track) => cost(track, seen.points, this.#nowS)));
    const pairs = cheapestPairs(costs).filter(([i, j]) => costs[i][j] < APART);
    return new Map(pairs.map(([i, j]) => [i, coasting[j]]));
  }

  #put(track) {
    this.tracks = this.tracks.map((each) => (each.id === track.id ? track : each));
  }

  /** Those first that keep no place, of them the longest unseen, then the newest. */
  #giveUpThoseTooMany() {
    const merit = (a, b) =>
      b.keepsItsPlace - a.keepsItsPlace || b.measured - a.measured || b.seenS - a.seenS || a.id - b.id;
    this.tracks.toSorted(merit).slice(this.maxFaces).forEach((track) => this.giveUp(track));
  }
}

const overlaps = (a, b) => boxIou(a, b) > SAME_FACE_IOU;

/** How far points are from those expected, and how little they overlap; APART where they are of another face. */
function cost(track, points, nowS) {
  const residual = track.residual(points, nowS);
  const overlap = boxIou(track.expectedBox(nowS), extent(points));
  return residual < (track.doubtful ? FLASH : FARTHEST) && overlap > FARTHEST_IOU ? residual + 1 - overlap : APART;
}
