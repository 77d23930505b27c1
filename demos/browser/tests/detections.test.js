/** The detector beside the tracking. The networks are scripted here: faces are where the test puts them. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { extent } from "../src/tracking/geometry.js";
import { Tracker } from "../src/tracking/tracker.js";

const [WIDTH, HEIGHT, STEP_S] = [640, 480, 1 / 30];
const SHAPE = Array.from({ length: 68 }, (_, i) => [Math.cos(2.4 * i) * Math.sqrt(i / 68), Math.sin(2.4 * i) * Math.sqrt(i / 68)]);
[SHAPE[36], SHAPE[45]] = [[-0.5, -0.3], [0.5, -0.3]]; // the outer corners of the eyes

const pointsOf = ({ x, y, radius }) => SHAPE.flatMap(([u, v]) => [x + radius * u, y + radius * v]);

/** What YuNet would say of a face: roiOfDetection gives about the view of its landmarks. */
function detectionOf({ x, y, radius }) {
  const side = (2.5 * radius) / 1.13;
  const eyes = [x - 0.5 * radius, y - 0.3 * radius, x + 0.5 * radius, y - 0.3 * radius];
  return { box: [x - side / 2, y - 0.14 * side - side / 2, side, side], score: 0.9, eyes };
}

/** A tracker in a world whose faces the test moves, and whose detector answers when the test says so. */
class World {
  faces = [];
  grey = 100;
  size = [WIDTH, HEIGHT];
  asked = []; // of the detector: {degrees, answer(), fail(sentence)}
  measured = []; // how many views at each call of the landmark model
  events = [];
  #frame = 0;

  constructor() {
    const estimator = { spec: { presence: 0.9 }, measure: async (_, rois) => this.#measure(rois) };
    this.tracker = new Tracker(estimator, (_, degrees) => this.#detect(degrees), { smoothing: "none" });
  }

  #measure(rois) {
    if (rois.length) {
      this.events.push("measure");
      this.measured.push(rois.length);
    }
    return rois.map(({ center: [x, y], side, rotation }) => {
      const near = (face) => Math.hypot(face.x - x, face.y - y) < 0.2 * side && Math.cos(rotation) > 0;
      const face = this.faces.find(near);
      const score = face ? 0.99 : 0.1;
      return { points: pointsOf(face ?? { x, y, radius: side / 2.5 }), scores: new Array(68).fill(score), score };
    });
  }

  #detect(degrees) {
    this.events.push("detect");
    const found = this.faces.map(detectionOf);
    return new Promise((resolve, reject) => {
      this.asked.push({
        degrees,
        answer: (faces = found) => resolve(faces),
        fail: (sentence) => reject(new Error(sentence)),
      });
    });
  }

  /** The faces of the next frame, as "id at x,y" where they are measured. */
  async step(timestampS = STEP_S * this.#frame) {
    this.#frame = Math.round(timestampS / STEP_S) + 1;
    this.measured = [];
    const [width, height] = this.size;
    const image = { data: new Uint8Array(3 * width * height).fill(this.grey), width, height, channels: 3 };
    const faces = await this.tracker.step(image, timestampS);
    return faces.map(({ id, state, points }) => {
      const [left, top, across, down] = extent(points);
      const [x, y] = [left + across / 2, top + down / 2].map(Math.round);
      return state === "tracking" ? `${id} at ${x},${y}` : `${id} ${state}`;
    });
  }

  /** The same of a step that waits for the detector, which answers when it is asked. */
  async stepWaiting(timestampS) {
    let [answered, over] = [this.asked.length, false];
    const step = this.step(timestampS).finally(() => (over = true));
    for (; !over; await turnOfTheLoop()) {
      for (; answered < this.asked.length; answered++) this.asked[answered].answer();
    }
    return step;
  }

  /** One face, followed up to a frame in which the next detection has begun. */
  async followed(face = { x: 200, y: 200, radius: 40 }) {
    this.faces = [face];
    const places = await this.stepWaiting(0);
    assert.equal(places.length, 1);
    await this.step(0.99);
    assert.equal(this.asked.length, 1);
    await this.step(1);
    assert.equal(this.asked.length, 2);
    return this.asked[1];
  }
}

const turnOfTheLoop = () => new Promise((resolve) => setImmediate(resolve));

const place = ({ x, y, radius }) => {
  const [left, top, width, height] = extent(pointsOf({ x, y, radius }));
  return `${Math.round(left + width / 2)},${Math.round(top + height / 2)}`;
};

test("a frame without a known face waits for its detection", async () => {
  const world = new World();
  world.faces = [{ x: 200, y: 200, radius: 40 }];
  const step = world.step(0);
  let over = false;
  step.then(() => (over = true));
  await turnOfTheLoop();
  assert.equal(over, false);
  world.asked[0].answer();
  assert.deepEqual(await step, [`1 at ${place(world.faces[0])}`]);
});

test("a first frame is searched at every turn", async () => {
  const world = new World();
  assert.deepEqual(await world.stepWaiting(0), []);
  assert.deepEqual(world.asked.map(({ degrees }) => degrees), [0, 90, 270, 180]);
  assert.deepEqual(await world.stepWaiting(), []);
  assert.equal(world.asked.length, 5);
});

test("a frame with a known face does not wait, and a new face comes in the first frame after the answer", async () => {
  const world = new World();
  const known = { x: 200, y: 200, radius: 40 };
  const fresh = { x: 450, y: 250, radius: 40 };
  world.faces = [known, fresh];
  const under = await world.followed(known);
  world.faces = [known, fresh];
  assert.deepEqual(await world.step(), [`1 at ${place(known)}`]);
  under.answer([detectionOf(known), detectionOf(fresh)]);
  await turnOfTheLoop();
  assert.deepEqual(await world.step(), [`1 at ${place(known)}`, `2 at ${place(fresh)}`]);
});

test("an answer about faces that moved meanwhile is no reason to measure them again", async () => {
  const world = new World();
  const face = { x: 200, y: 200, radius: 40 };
  const under = await world.followed(face);
  for (let i = 0; i < 12; i++) {
    face.x += 12; // by 144 in all: the boxes of then and now do not touch
    assert.deepEqual(await world.step(), [`1 at ${place(face)}`]);
  }
  under.answer();
  await turnOfTheLoop();
  assert.deepEqual(await world.step(), [`1 at ${place(face)}`]);
  assert.deepEqual(world.measured, [1]);
  assert.equal(world.tracker.tracks.tracks[0].unconfirmed, 0);
});

test("a face that the detector could not see, as it was covered, is not held against it", async () => {
  const world = new World();
  const [covered, other] = [{ x: 200, y: 200, radius: 40 }, { x: 450, y: 250, radius: 40 }];
  world.faces = [covered, other];
  await world.stepWaiting(0);
  world.faces = [other];
  assert.deepEqual(await world.step(0.1), ["1 coasting", `2 at ${place(other)}`]);
  world.faces = [covered, other];
  await world.step();
  world.asked.at(-1).answer([detectionOf(other)]);
  await turnOfTheLoop();
  await world.step();
  assert.deepEqual(world.tracker.tracks.tracks.map(({ unconfirmed }) => unconfirmed), [0, 0]);
});

test("one detection is under way at a time, however long it takes", async () => {
  const world = new World();
  await world.followed();
  for (let i = 0; i < 100; i++) assert.equal((await world.step()).length, 1);
  assert.equal(world.asked.length, 2);
  world.asked[1].answer();
  await turnOfTheLoop();
  await world.step();
  assert.equal(world.asked.length, 3);
});

test("an answer that is too old is dropped", async () => {
  for (const [ageS, count] of [[0.4, 2], [0.6, 1]]) {
    const world = new World();
    const under = await world.followed();
    world.faces.push({ x: 450, y: 250, radius: 40 });
    under.answer(world.faces.map(detectionOf));
    await turnOfTheLoop();
    assert.equal((await world.step(1 + ageS)).length, count, `after ${ageS} s`);
  }
});

test("an answer about another scene is dropped", async () => {
  const changes = {
    cut: (world) => (world.grey = 200),
    size: (world) => (world.size = [320, 240]),
    reset: (world) => world.tracker.reset(),
  };
  for (const [name, change] of Object.entries(changes)) {
    const world = new World();
    const under = await world.followed();
    change(world);
    await world.stepWaiting(); // the face is where it was
    world.faces.push({ x: 100, y: 100, radius: 30 });
    under.answer(world.faces.map(detectionOf));
    await turnOfTheLoop();
    assert.equal((await world.step()).length, 1, name);
  }
});

test("flashes while a detection is under way begin no others", async () => {
  const world = new World();
  await world.followed();
  for (let i = 0; i < 60; i++) {
    world.grey = i % 2 ? 200 : 100;
    assert.equal((await world.step()).length, 1);
  }
  assert.equal(world.asked.length, 2);
});

test("ids start again at 1 after a reset while a detection is under way", async () => {
  const world = new World();
  const under = await world.followed();
  world.tracker.reset();
  under.answer();
  assert.deepEqual(await world.stepWaiting(0), [`1 at ${place(world.faces[0])}`]);
});

test("a frame in which the face is lost waits for its own detection, not for the one under way", async () => {
  const world = new World();
  const under = await world.followed();
  world.faces = [{ x: 235, y: 200, radius: 40 }]; // not where it was expected, but near enough to be the same
  const step = world.stepWaiting();
  under.answer([]);
  assert.deepEqual(await step, [`1 at ${place(world.faces[0])}`]);
});

test("while faces are covered the detector is asked before they are looked for", async () => {
  const world = new World();
  await world.followed();
  world.asked[1].answer();
  await turnOfTheLoop();
  await world.step();
  const [face] = world.faces;
  world.faces = [];
  assert.deepEqual(await world.stepWaiting(), ["1 coasting"]);
  world.events = [];
  assert.deepEqual(await world.stepWaiting(), ["1 coasting"]);
  assert.deepEqual(world.events, ["detect", "measure"]);
  world.faces = [face];
  assert.deepEqual(await world.step(), [`1 at ${place(face)}`]); // without waiting, as it was found where it was
});

test("the next frame throws why a detection failed", async () => {
  const world = new World();
  const under = await world.followed();
  under.fail("The detector is out of memory: reload the page.");
  await turnOfTheLoop();
  await assert.rejects(world.step(), /^Error: The detector is out of memory: reload the page.$/);
  const lost = new World();
  const step = lost.step(0);
  await turnOfTheLoop();
  lost.asked[0].fail("The detector is out of memory: reload the page.");
  await assert.rejects(step, /out of memory/);
});

test("a failure that nobody waits for any more is not lost on the way", async () => {
  const world = new World();
  const under = await world.followed();
  world.tracker.reset();
  under.fail("The detector is out of memory: reload the page.");
  await turnOfTheLoop(); // an unhandled rejection would fail this test
  assert.equal((await world.stepWaiting(0)).length, 1);
});
