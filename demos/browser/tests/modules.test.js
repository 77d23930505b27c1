/** What the modules do where Python has no function of the same shape. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { cheapestPairs } from "../src/tracking/association.js";
import { readSpec } from "../src/tracking/spec.js";

/** By trying every order. */
function leastCost(costs) {
  if (costs.length > costs[0].length) return leastCost(costs[0].map((_, j) => costs.map((row) => row[j])));
  const [first, ...rest] = costs;
  const sums = first.map((cost, j) => {
    return cost + (rest.length ? leastCost(rest.map((row) => row.filter((_, k) => k !== j))) : 0);
  });
  return Math.min(...sums);
}

test("the pairs cost least, each row and column once", () => {
  let seed = 1;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  for (let round = 0; round < 200; round++) {
    const [rows, columns] = [1 + Math.floor(5 * random()), 1 + Math.floor(5 * random())];
    const costs = Array.from({ length: rows }, () => Array.from({ length: columns }, () => (random() < 0.3 ? 1e3 : random())));
    const pairs = cheapestPairs(costs);
    assert.equal(pairs.length, Math.min(rows, columns));
    for (const k of [0, 1]) assert.equal(new Set(pairs.map((pair) => pair[k])).size, pairs.length);
    const sum = pairs.reduce((total, [i, j]) => total + costs[i][j], 0);
    assert.ok(Math.abs(sum - leastCost(costs)) < 1e-9);
  }
});

/** A protocol buffer's field with a length. */
function field(number, content) {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  const length = [];
  for (let rest = bytes.length; ; rest >>= 7) {
    length.push(rest > 127 ? (rest & 127) | 128 : rest);
    if (rest <= 127) break;
  }
  return new Uint8Array([(number << 3) | 2, ...length, ...bytes]);
}

const join = (...parts) => new Uint8Array(parts.flatMap((part) => [...part]));

function model(spec) {
  const entry = (key, value) => field(14, join(field(1, key), field(2, value)));
  const version = new Uint8Array([1 << 3, 200, 1]); // a number, which is passed over
  return join(version, field(7, new Uint8Array(70_000)), entry("other", "x"), entry("landmark_tracker.spec", JSON.stringify(spec)));
}

test("the model's spec is read from its file", () => {
  const spec = { contract: 1, scheme: "ibug68", view: 1.25, size: 128, presence: 0.9 };
  assert.deepEqual(readSpec(model(spec)), spec);
});

test("a model that does not fit is refused in one sentence that names the reason", () => {
  const spec = { contract: 1, scheme: "wflw98", view: 1.25 };
  assert.throws(() => readSpec(model(spec)), /does not fit this page: expected .*ibug68.*, got .*wflw98/);
  assert.throws(() => readSpec(field(7, "a model without metadata")), /does not fit this page/);
});
