/** The modules give what the Python functions give: tests/vectors.json, which tools/browser_vectors.py writes. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { shrink, turn, warp } from "../src/tracking/crop.js";
import { Clock } from "../src/tracking/clock.js";
import { boxIou, transformVariances } from "../src/tracking/geometry.js";
import { Presence } from "../src/tracking/presence.js";
import { cropFromImage, roiOfDetection, roiOfLandmarks } from "../src/tracking/roi.js";
import { SceneCut } from "../src/tracking/scene_cut.js";
import { DetectionSchedule } from "../src/tracking/schedule.js";
import { Kalman, PRESETS } from "../src/tracking/smoothing.js";
import { TrackManager } from "../src/tracking/tracks.js";
import { decode, SIDE } from "../src/tracking/yunet.js";

const vectors = JSON.parse(readFileSync(new URL("vectors.json", import.meta.url)));

const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));
const picture = ({ data, ...rest }) => ({ ...rest, data: bytes(data) });

function near(found, expected, tolerance = 1e-4) {
  const [a, b] = [Array.from(found), Array.from(expected)];
  assert.equal(a.length, b.length);
  a.forEach((value, i) => assert.ok(Math.abs(value - b[i]) <= tolerance, `${i}: ${value} is not ${b[i]}`));
}

/** Bytes that differ by no more than rounding: OpenCV samples at 32nds of a pixel. */
function alike(found, expected, most, mean) {
  const differences = Array.from(found, (value, i) => Math.abs(value - expected[i]));
  assert.equal(found.length, expected.length);
  assert.ok(Math.max(...differences) <= most, `a byte differs by ${Math.max(...differences)}`);
  const average = differences.reduce((a, b) => a + b, 0) / differences.length;
  assert.ok(average <= mean, `bytes differ by ${average} on average`);
}

function sameRoi(found, expected) {
  near(found.center, expected.center);
  near([found.side, found.rotation], [expected.side, expected.rotation]);
}

test("the view of landmarks", () => {
  for (const { points, roi, crop_from_image } of vectors.roi_of_landmarks) {
    sameRoi(roiOfLandmarks(points), roi);
    near(cropFromImage(roi, 128), crop_from_image, 1e-6);
  }
});

test("the view of a detection", () => {
  for (const { roi, ...detection } of vectors.roi_of_detection) sameRoi(roiOfDetection(detection), roi);
});

test("the overlap of boxes", () => {
  for (const { a, b, iou } of vectors.box_iou) near([boxIou(a, b)], [iou], 1e-12);
});

test("the crop", () => {
  const image = picture(vectors.crop.image);
  for (const { roi, size, pixels } of vectors.crop.cases) {
    alike(warp(image, cropFromImage(roi, size), size), bytes(pixels), 8, 0.6);
  }
});

test("the crop of a picture with alpha is that without", () => {
  const image = picture(vectors.crop.image);
  const rgba = new Uint8Array((image.data.length / 3) * 4).fill(255);
  image.data.forEach((value, i) => (rgba[4 * Math.floor(i / 3) + (i % 3)] = value));
  for (const { roi, size } of vectors.crop.cases) {
    const view = cropFromImage(roi, size);
    assert.deepEqual(warp({ ...image, data: rgba, channels: 4 }, view, size), warp(image, view, size));
  }
});

test("the picture shrunk for the detector", () => {
  const image = picture(vectors.shrink.image);
  for (const expected of vectors.shrink.cases) {
    const { image: small, imageFromSmall } = shrink(image, expected.longest);
    assert.deepEqual([small.width, small.height], [expected.image.width, expected.image.height]);
    alike(small.data, bytes(expected.image.data), 1, 0.05);
    near(imageFromSmall, expected.image_from_small, 1e-6);
  }
});

test("the turned picture", () => {
  const image = picture(vectors.turn.image);
  for (const expected of vectors.turn.cases) {
    const { image: turned, imageFromTurned } = turn(image, expected.degrees);
    assert.deepEqual(turned, picture(expected.image));
    near(imageFromTurned, expected.image_from_turned);
  }
});

test("the detector's outputs", () => {
  const outputs = {};
  for (const stride of [8, 16, 32]) {
    const cells = (SIDE / stride) ** 2;
    const sizes = { cls: 1, obj: 1, bbox: 4, kps: 10 };
    for (const [kind, values] of Object.entries(sizes)) outputs[`${kind}_${stride}`] = new Float32Array(cells * values);
  }
  for (const { stride, cell, ...kinds } of vectors.yunet.cells) {
    for (const [kind, values] of Object.entries(kinds)) outputs[`${kind}_${stride}`].set(values, cell * values.length);
  }
  const faces = decode(outputs);
  assert.equal(faces.length, vectors.yunet.faces.length);
  vectors.yunet.faces.forEach(({ box, score, eyes }, i) => {
    near(faces[i].box, box, 0.02);
    near(faces[i].eyes, eyes, 0.02);
    near([faces[i].score], [score], 1e-3);
  });
});

test("cuts of the scene", () => {
  const cut = new SceneCut();
  for (const { image, cut: expected } of vectors.scene_cut) assert.equal(cut.next(picture(image)), expected);
});

test("the scores that are wanted", () => {
  for (const { min_score, sure, of_followed, of_new } of vectors.presence) {
    const presence = new Presence(min_score);
    near([presence.sure, presence.ofFollowed(true), presence.ofFollowed(false)], [sure, ...of_followed], 1e-12);
    for (const [score, expected] of of_new) near([presence.ofNew(score)], [expected], 1e-12);
  }
});

test("when to detect", () => {
  const schedule = new DetectionSchedule();
  for (const { time_s, measured, coasting, due } of vectors.schedule) {
    assert.equal(schedule.due(measured, coasting, time_s), due, `at ${time_s} s`);
    if (due) schedule.detected(time_s);
  }
});

test("the time of frames", () => {
  const clock = new Clock(0.5);
  for (const { timestamp_s, time_s, interval_s } of vectors.clock) {
    near([clock.next(timestamp_s), clock.intervalS], [time_s, interval_s], 1e-9);
  }
});

test("variances in the picture", () => {
  const { transform, covariances, moved } = vectors.variances;
  near(transformVariances(transform, covariances), moved, 1e-6);
});

test("smoothing", () => {
  for (const { name, face_size, frames } of vectors.smoothing) {
    const filter = new Kalman(PRESETS[name]);
    for (const { points, variances, time_s, smooth } of frames) {
      near(filter.next(points, time_s, face_size, variances), smooth, 1e-5);
    }
  }
});

test("which face is which", () => {
  const { max_faces, coast_s, coast_frames, frames } = vectors.tracks;
  const manager = new TrackManager(max_faces, coast_s, coast_frames);
  frames.forEach((frame, number) => {
    const seen = frame.sightings.map((each) => ({ ...each, scores: [] }));
    manager.nextFrame(frame.time_s, frame.interval_s);
    if (frame.doubt) manager.doubt();
    manager.followed(frame.followed.map(([id, i]) => [manager.tracks.find((track) => track.id === id), seen[i]]));
    if (frame.detected) {
      const { boxes } = frame;
      manager.confirm(boxes);
      assert.deepEqual(boxes.map((box) => manager.known(box)), frame.known);
      assert.deepEqual(boxes.map((box) => manager.awaited(box)), frame.awaited);
      assert.deepEqual(boxes.map((box) => manager.shownBy(box)?.id ?? null), frame.shown_by);
      assert.equal(manager.room(), frame.room);
      const ids = manager.found(frame.detected.map((i) => seen[i]), frame.sure);
      assert.deepEqual(ids.sort((a, b) => a - b), frame.ids);
    }
    const names = ["id", "measured", "unconfirmed", "doubtful", "missed", "sure", "score"];
    const states = (tracks) => tracks.map((track) => Object.fromEntries(names.map((name) => [name, track[name]])));
    assert.deepEqual(states(manager.tracks), states(frame.tracks), `frame ${number}`);
    manager.tracks.forEach((track, i) => {
      near(track.box, frame.tracks[i].box, 0.02);
      near(track.velocity, frame.tracks[i].velocity, 0.01);
    });
    assert.deepEqual(manager.lost, frame.lost);
  });
});
