/** Where frames come from: a camera, a video's file or a picture's file. Every error is one sentence for people. */

const LONGEST_PX = 1280; // larger frames of a video are shrunk to this longer side

const CAMERA_ERRORS = {
  NotAllowedError: "The camera was not allowed: allow it beside the page's address, then press the button again.",
  NotFoundError: "No camera was found: connect one, or open a file.",
  NotReadableError: "The camera is in use by another program: close that, then press the button again.",
};

/** A camera's frames, each {picture, timestampS, dropped}, given to onFrame until stop() is called. */
export async function openCamera(onFrame, onEnd) {
  if (!navigator.mediaDevices) throw new Error("The camera works over https or on localhost only: open the page there.");
  const wanted = { facingMode: "user", width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 } };
  const stream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false }).catch((error) => {
    throw new Error(CAMERA_ERRORS[error.name] ?? `The camera could not be opened (${error.name}): try another browser.`);
  });
  const [track] = stream.getVideoTracks();
  track.onended = () => onEnd("The camera was disconnected: connect it, then press the button again.");
  const video = newVideo();
  video.srcObject = stream;
  const stopFrames = await play(video, onFrame, ({ captureTime }, nowMs) => (captureTime ?? nowMs) / 1000);
  return {
    mirrored: track.getSettings().facingMode !== "environment",
    stop() {
      stopFrames();
      track.stop();
    },
  };
}

/** The frames of a video's or picture's file, as openCamera gives them. A video is played again at its end. */
export async function openFile(file, onFrame) {
  const refuse = () => {
    throw new Error(`This browser cannot show ${file.name}: choose an MP4 or WebM video, or a JPEG or PNG picture.`);
  };
  if (!file.type.startsWith("video/")) {
    onFrame({ picture: await createImageBitmap(file).catch(refuse), timestampS: 0, dropped: 0 });
    return { mirrored: false, stop() {} };
  }
  const video = newVideo();
  video.loop = true;
  video.src = URL.createObjectURL(file);
  const stopFrames = await play(video, onFrame, ({ mediaTime }) => mediaTime).catch(refuse);
  return {
    mirrored: false,
    stop() {
      stopFrames();
      video.pause();
      URL.revokeObjectURL(video.src);
    },
  };
}

function newVideo() {
  return Object.assign(document.createElement("video"), { muted: true, playsInline: true });
}

/** Plays a video and gives its frames, and how many were shown in between that could not be taken. */
async function play(video, onFrame, timeOf) {
  let [stopped, before, missed] = [false, null, 0];
  const next = async (nowMs, metadata) => {
    if (stopped) return;
    const dropped = missed + (before === null ? 0 : metadata.presentedFrames - before - 1);
    [before, missed] = [metadata.presentedFrames, 0];
    const scale = Math.min(1, LONGEST_PX / Math.max(video.videoWidth, video.videoHeight));
    const size = { resizeWidth: Math.round(scale * video.videoWidth), resizeQuality: "medium" };
    const picture = await createImageBitmap(video, scale < 1 ? size : {}).catch(() => null);
    if (stopped) return picture?.close();
    video.requestVideoFrameCallback(next);
    if (picture === null) missed = dropped + 1;
    else onFrame({ picture, timestampS: timeOf(metadata, nowMs), dropped });
  };
  video.requestVideoFrameCallback(next);
  await video.play();
  return () => {
    stopped = true;
  };
}
