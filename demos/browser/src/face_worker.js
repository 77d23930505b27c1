/** The page's side of worker.js: pictures in, faces out, one after the other. */

import { AskedWorker } from "./asked_worker.js";
import address from "./worker.js?worker&url";

export class FaceWorker extends AskedWorker {
  constructor() {
    super(address);
  }

  /** Loads the models. */
  load() {
    return this.ask({ type: "load" });
  }

  /** Forgets every face, as before a new video. */
  reset() {
    return this.ask({ type: "reset" });
  }

  /** {faces, stepMs, picture} of the next frame, an ImageBitmap that is lent to the worker meanwhile. */
  step(picture, timestampS) {
    return this.ask({ type: "step", picture, timestampS }, [picture]);
  }
}
