/** The page: buttons, the picture with its faces, and figures about it. */

import { draw } from "./draw.js";
import { FaceWorker } from "./face_worker.js";
import { openCamera, openFile } from "./sources.js";

const FIGURES_MS = 500; // between two changes of the figures
const WINDOW_MS = 2000; // over which frames a second and the time of a step are taken

const element = (id) => document.getElementById(id);
const [canvas, stage, message] = [element("picture"), element("stage"), element("message")];

const worker = new FaceWorker();
let source = null;
let starts = 0;
let waiting = null; // the newest frame that the worker has not begun
let busy = false;
let dropped = 0;
let done = []; // of the last frames: {endMs, stepMs}

say("Loading the models, about 6 MB. They stay on your device.");
const loaded = worker.load();
loaded.then(() => say(""), fail);

element("camera").onclick = () => start((onFrame) => openCamera(onFrame, fail));
element("file").onchange = ({ target: { files } }) => {
  const [file] = files;
  if (file) start((onFrame) => openFile(file, onFrame));
  element("file").value = ""; // so that the same file can be opened again
};
element("stop").onclick = stop;
setInterval(showFigures, FIGURES_MS);

async function start(open) {
  stop();
  const mine = starts;
  try {
    await loaded;
    await worker.reset();
    const opened = await open((frame) => mine === starts && take(frame));
    if (mine !== starts) return opened.stop();
    source = opened;
    stage.dataset.state = "running";
  } catch (error) {
    fail(error);
  }
}

function stop() {
  starts++;
  source?.stop();
  [source, waiting, dropped, done] = [null, null, 0, []];
  stage.dataset.state = "idle";
  say("");
}

/** A new frame: the worker takes it now, or as soon as it is free unless a newer one comes first. */
function take(frame) {
  dropped += frame.dropped + (waiting === null ? 0 : 1);
  waiting?.picture.close();
  waiting = frame;
  if (!busy) work();
}

async function work() {
  busy = true;
  try {
    while (waiting !== null) {
      const { picture, timestampS } = waiting;
      waiting = null;
      show(await worker.step(picture, timestampS), timestampS);
    }
  } catch (error) {
    fail(error);
  }
  busy = false;
}

function show({ faces, picture, stepMs }, timestampS) {
  if (stage.dataset.state === "running") {
    draw(canvas, picture, faces, source.mirrored);
    done.push({ endMs: performance.now(), stepMs });
  }
  picture.close();
  document.dispatchEvent(new CustomEvent("faces", { detail: { faces, timestampS, stepMs, dropped } }));
  element("faces").textContent = faces.length;
}

function showFigures() {
  const nowMs = performance.now();
  done = done.filter(({ endMs }) => nowMs - endMs < WINDOW_MS);
  const steps = done.map(({ stepMs }) => stepMs).sort((a, b) => a - b);
  const spanS = steps.length > 1 ? (done.at(-1).endMs - done[0].endMs) / 1000 : 0;
  element("rate").textContent = spanS ? ((steps.length - 1) / spanS).toFixed(0) : "-";
  element("step").textContent = steps.length ? `${steps[steps.length >> 1].toFixed(0)} ms` : "-";
  element("dropped").textContent = dropped;
}

function fail(error) {
  stop();
  say(error.message ?? error);
  message.dataset.kind = "error";
}

function say(sentence) {
  message.textContent = sentence;
  message.dataset.kind = "note";
}

/** For other programs on this page: step(picture, timestampS) gives the faces of an ImageBitmap, reset() forgets them. */
window.landmarks = { loaded, worker };
