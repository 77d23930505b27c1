/**
 * Drives the page in Chromium and prints what it saw as JSON.
 *
 *   node drive.mjs '{"url": ..., "chromium": ..., "task": "frames", "count": 300, "rate": 30}'
 *   node drive.mjs '{"url": ..., "chromium": ..., "task": "camera", "clip": "/PATH/clip.y4m", "seconds": 10}'
 *
 * The frames are pictures at URL/frames/N.bmp. Other tasks: see TASKS.
 */

import { chromium } from "playwright-core";

const options = JSON.parse(process.argv[2]);
const PATIENCE_MS = 180_000; // a busy machine is no failure
const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const REFUSED = ["--use-fake-device-for-media-stream", "--deny-permission-prompts"];
const CAMERA = [
  "--use-fake-ui-for-media-stream",
  "--use-fake-device-for-media-stream",
  `--use-file-for-fake-video-capture=${options.clip}`,
];

const TASKS = {
  /** Frames one by one, each only when the one before is done; first those of `before`, then a reset. */
  async frames(page) {
    return page.evaluate(async ({ count, rate, before = [] }) => {
      const { worker } = window.landmarks;
      const feed = async (i) => {
        const blob = await (await fetch(`frames/${i}.bmp`)).blob();
        const picture = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
        const { faces, stepMs } = await worker.step(picture, i / rate);
        return { stepMs, faces: faces.map((face) => ({ ...face, points: [...face.points], scores: [...face.scores] })) };
      };
      for (const i of before) await feed(i);
      await worker.reset();
      const results = [];
      for (let i = 0; i < count; i++) results.push(await feed(i));
      return { results };
    }, options);
  },

  /** The clip as the camera. */
  async camera(page) {
    await page.evaluate(() => {
      window.seen = [];
      document.addEventListener("faces", ({ detail }) => {
        const shown = window.shown.map((count) => count - window.shown[0] + 1).slice(-2);
        window.seen.push({ ...detail, faces: detail.faces.length, nowS: performance.now() / 1000, shown });
      });
    });
    await page.click("#camera");
    await page.waitForFunction(() => window.seen.length > 2);
    await page.waitForTimeout(1000 * options.seconds);
    const seen = await page.evaluate(() => window.seen);
    const figures = await figuresOf(page);
    if (options.screenshot) await page.screenshot({ path: options.screenshot, fullPage: true });
    await page.click("#stop");
    return { seen, figures };
  },

  /** A file is opened; the sentence and the figures that the page then shows. */
  async file(page) {
    await page.setInputFiles("#file", options.file);
    const answered = () =>
      document.querySelector("#message").textContent || document.querySelector("#faces").textContent !== "0";
    await page.waitForFunction(answered);
    if (options.screenshot) await page.screenshot({ path: options.screenshot, fullPage: true });
    return { message: await page.textContent("#message"), figures: await figuresOf(page) };
  },

  /** The camera is asked for and refused. */
  async refused(page) {
    await page.click("#camera");
    await page.waitForSelector('#message[data-kind="error"]');
    if (options.screenshot) await page.screenshot({ path: options.screenshot, fullPage: true });
    return { message: await page.textContent("#message") };
  },

  /** Files of the page are missing: what it says. */
  async incomplete(page) {
    await page.waitForSelector('#message[data-kind="error"]');
    return { message: await page.textContent("#message") };
  },

  /** The page and its workers try to reach another host. */
  async elsewhere(page) {
    const reach = (address) => fetch(address, { mode: "no-cors" }).then(() => "reached", () => "refused");
    const answers = [page, ...page.workers()].map((each) => each.evaluate(reach, options.other));
    return { answers: await Promise.all(answers) };
  },
};

/** Keeps in window.shown the browser's own count of the frames that a video has shown, at each that the page asks for. */
function countShown() {
  window.shown = [];
  const request = HTMLVideoElement.prototype.requestVideoFrameCallback;
  HTMLVideoElement.prototype.requestVideoFrameCallback = function (callback) {
    return request.call(this, (nowMs, metadata) => {
      window.shown.push(metadata.presentedFrames);
      callback(nowMs, metadata);
    });
  };
}

async function figuresOf(page) {
  const names = ["faces", "rate", "step", "dropped"];
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await page.textContent(`#${name}`)])));
}

const browser = await chromium.launch({
  executablePath: options.chromium,
  timeout: PATIENCE_MS,
  args: [...ARGUMENTS, ...(options.clip ? CAMERA : REFUSED)],
});
try {
  const page = await browser.newPage({ viewport: options.viewport ?? { width: 1000, height: 900 } });
  page.setDefaultTimeout(PATIENCE_MS);
  const [requests, errors] = [[], []];
  page.on("request", (request) => requests.push(request.url()));
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (entry) => entry.type() === "error" && errors.push(entry.text()));
  await page.addInitScript(countShown);
  await page.goto(options.url);
  await page.evaluate(() => window.landmarks.loaded.catch(() => {})); // the page shows why
  const result = await TASKS[options.task](page);
  console.log(JSON.stringify({ ...result, requests, errors, version: browser.version() }));
} finally {
  await browser.close();
}
