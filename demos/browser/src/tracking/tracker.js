/**
 * Frames in, faces out: the steps of the Python tracker (tracker/tracking/tracker.py) with YuNet as its detector.
 *
 * A frame in which no face is measured waits for its detection, as in Python. Otherwise the detector works beside the
 * tracking, and its detections are taken up in the first frame after they have arrived.
 */

import { Clock } from "./clock.js";
import { Detections } from "./detections.js";
import { Presence } from "./presence.js";
import { roiOfDetection, roiOfLandmarks } from "./roi.js";
import { SceneCut } from "./scene_cut.js";
import { DetectionSchedule, Turns } from "./schedule.js";
import { Kalman, PRESETS } from "./smoothing.js";
import { TrackManager } from "./tracks.js";

const [COAST_S, COAST_FRAMES] = [0.5, 2];
const FAR_MORE = 4; // times the area of a face that is followed, with which another one takes its place

export class Tracker {
  /** estimator: measures. detect: finds, see Detections. smoothing: a preset's name, or "none". */
  constructor(estimator, detect, { maxFaces = 4, smoothing = "balanced" } = {}) {
    Object.assign(this, { estimator, maxFaces, smoothing });
    this.detections = new Detections(detect);
    this.presence = new Presence(estimator.spec.presence);
    this.reset();
  }

  /** Forget every face, as before a new video. Ids start again at 1. */
  reset() {
    this.clock = new Clock(COAST_S);
    this.tracks = new TrackManager(this.maxFaces, COAST_S, COAST_FRAMES);
    this.schedule = new DetectionSchedule();
    this.turns = new Turns();
    this.cut = new SceneCut();
    this.smoothers = new Map();
    this.steady = new Map(); // points by the face's id
    this.shape = "";
  }

  /** The faces of the next frame: {id, state, score, box, points, scores}, points flat, in pixels of the picture. */
  async step(image, timestampS) {
    const nowS = this.clock.next(timestampS);
    this.tracks.nextFrame(nowS, this.clock.intervalS);
    const shape = `${image.width} x ${image.height}`;
    const first = shape !== this.shape;
    this.shape = shape;
    if (first) this.tracks.forget();
    if (this.cut.next(image)) {
      // So it is also in a first frame, and where the size has changed.
      this.tracks.doubt();
      this.detections.drop();
    }
    const begun = this.#mayBeginEarly();
    if (begun) this.#begin(image, nowS);
    await this.#follow(image, nowS);
    if (!this.#measured().length) {
      if (!begun) this.#begin(image, nowS);
      await this.#search(image, nowS, first);
    } else {
      await this.#takeUp(image, nowS);
      const measured = this.#measured().length;
      const due = this.schedule.due(measured, this.tracks.tracks.length - measured, nowS);
      if (due && this.detections.free) this.#begin(image, nowS);
    }
    return this.#results();
  }

  #measured() {
    return this.tracks.tracks.filter((track) => track.measured);
  }

  /** Measure the known faces where they are expected. */
  async #follow(image, nowS) {
    const tracks = this.tracks.tracks;
    const seen = await this.estimator.measure(
      image,
      tracks.map((track) => this.#view(track, nowS)),
    );
    const pairs = tracks.map((track, i) => [track, seen[i]]);
    this.tracks.followed(
      pairs
        .filter(([track, { score }]) => score >= this.presence.ofFollowed(track.sure))
        .map(([track, found]) => [track.with({ sure: track.sure || found.score >= this.presence.sure }), found]),
    );
  }

  /** Where a face should be by now, by its smoothed landmarks: jitter in the view feeds back into later frames. */
  #view(track, nowS) {
    const ahead = track.ahead(nowS);
    return roiOfLandmarks(this.steady.get(track.id).map((value, i) => value + ahead[i % 2]));
  }

  /** Whether no face was measured in the last frame, so that this one will need its detection, too. */
  #mayBeginEarly() {
    const { tracks } = this.tracks;
    return this.detections.free && tracks.length > 0 && tracks.every(({ missed }) => missed > 1);
  }

  /** Begin to search the frame: the next turn, the first one where a face is missing or a place is. */
  #begin(image, nowS) {
    const { tracks, turns } = this;
    if (tracks.room() <= 0 || tracks.lost.length || tracks.tracks.some((track) => !track.measured)) turns.begin();
    this.schedule.detected(nowS);
    this.#detect(image, nowS);
  }

  #detect(image, nowS) {
    this.detections.begin(image, this.turns.next(), nowS, this.tracks.tracks);
  }

  /** Wait for the search of this frame; in a first frame go on with further turns until there is a sure face. */
  async #search(image, nowS, allTurns) {
    const doubtful = [];
    for (let left = allTurns ? this.turns.count : 1; ; left--) {
      doubtful.push(...(await this.#measureDetected(image, await this.detections.wait())));
      if (left === 1 || this.#measured().length) break;
      this.#detect(image, nowS);
    }
    this.#foundDoubtful(doubtful);
  }

  /** Measure in this frame what the detector has found in an earlier one, if it has answered. */
  async #takeUp(image, nowS) {
    const arrived = await this.detections.takeArrived(nowS, this.tracks.tracks);
    if (arrived) this.#foundDoubtful(await this.#measureDetected(image, arrived.faces, arrived.measured));
  }

  /**
   * Find faces that are not followed, large ones first. Returns those that are likely faces, but not sure ones.
   *
   * asked: the ids of the tracks that the detector should have seen, all of them by default.
   */
  async #measureDetected(image, faces, asked) {
    const detections = faces.toSorted((a, b) => area(b) - area(a));
    this.tracks.confirm(
      detections.map(({ box }) => box),
      asked,
    );
    const fresh = detections.filter(({ box }) => !this.tracks.known(box));
    let back = fresh.filter(({ box }) => this.tracks.awaited(box));
    const others = fresh.filter(({ box }) => !this.tracks.awaited(box));
    const doubtful = [];
    for (;;) {
      const tried = [...back, ...others.splice(0, Math.max(this.tracks.room(), 0))];
      if (!tried.length) break;
      back = [];
      const { sure, unsure } = await this.#measureNew(image, tried);
      this.#found(sure);
      doubtful.push(...unsure);
    }
    await this.#replaceSmallest(image, others, detections);
    return doubtful;
  }

  /** Let far larger faces take the place of the smallest one that is followed. */
  async #replaceSmallest(image, others, detections) {
    const shown = detections.map((face) => [area(face), this.tracks.shownBy(face.box)]).filter(([, track]) => track);
    if (!shown.length) return;
    const [least, track] = shown.reduce((a, b) => (b[0] < a[0] ? b : a));
    const { sure } = await this.#measureNew(
      image,
      others.filter((face) => area(face) >= FAR_MORE * least),
    );
    if (!sure.length) return;
    this.tracks.giveUp(track);
    this.#found(sure);
  }

  /**
   * Those of the detections that are faces: the sure ones, and the others. They are measured twice, the second time in
   * the view of the first; at first both ways up, as a detector often takes an upside-down mouth for eyes.
   */
  async #measureNew(image, detections) {
    const upright = detections.map(roiOfDetection);
    const overhead = upright.map((roi) => ({ ...roi, rotation: roi.rotation + Math.PI }));
    const both = await this.estimator.measure(image, [...upright, ...overhead]);
    const rough = upright.map((_, i) => {
      const [up, down] = [both[i], both[i + upright.length]];
      return down.score > up.score ? down : up;
    });
    const measured = await this.estimator.measure(
      image,
      rough.map(({ points }) => roiOfLandmarks(points)),
    );
    const seen = measured.filter(({ score }, i) => score >= this.presence.ofNew(detections[i].score));
    const isSure = ({ score }) => score >= this.presence.sure;
    return { sure: seen.filter(isSure), unsure: seen.filter((each) => !isSure(each)) };
  }

  #foundDoubtful(seen) {
    this.#found(
      seen.sort((a, b) => b.score - a.score),
      false,
    );
  }

  #found(seen, sure = true) {
    for (const id of this.tracks.found(seen, sure)) this.smoothers.delete(id); // it was seen elsewhere before
  }

  /** Every face that is followed, smoothed; one that was not measured now is held where it was. */
  #results() {
    const { tracks } = this.tracks;
    this.smoothers = new Map(tracks.map(({ id }) => [id, this.smoothers.get(id) ?? this.#smoother()]));
    this.steady = new Map(tracks.map((track) => [track.id, this.#steadied(track)]));
    return tracks.map(({ id, measured, score, scores, box }) => {
      return { id, state: measured ? "tracking" : "coasting", score, scores, box, points: this.steady.get(id) };
    });
  }

  #smoother() {
    return this.smoothing === "none" ? { next: (points) => points } : new Kalman(PRESETS[this.smoothing]);
  }

  #steadied({ id, measured, points, variances, seenS, size }) {
    return measured ? this.smoothers.get(id).next(points, seenS, size, variances) : this.steady.get(id);
  }
}

const area = ({ box: [, , width, height] }) => width * height;
