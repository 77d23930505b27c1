/** Runs YuNet in ONNX Runtime: a picture to detections. */

import { shrink, turn } from "./crop.js";
import { compose } from "./geometry.js";
import { openModel } from "./model.js";
import { decode, moved, planes, OUTPUTS, SIDE } from "./yunet.js";

const LONGEST_TURNED = 640; // a picture that is turned is shrunk to this longer side before
const [SMALLEST_PX, FARTHEST_PX] = [1, 1e6]; // of a detected box; what lies outside is no face

export class Detector {
  /** ort: the module of ONNX Runtime. model: the file's bytes. */
  static async load(ort, model) {
    const detector = new Detector();
    detector.session = await openModel(ort, model);
    detector.pixels = new Float32Array(3 * SIDE * SIDE);
    detector.input = new ort.Tensor("float32", detector.pixels, [1, 3, SIDE, SIDE]);
    return detector;
  }

  /** The faces in the picture turned clockwise by so many degrees, best first, in pixels of the picture as it is. */
  async detect(image, degrees = 0) {
    const whole = { image, imageFromSmall: [1, 0, 0, 0, 1, 0] };
    const { image: upright, imageFromSmall } = degrees ? shrink(image, LONGEST_TURNED) : whole;
    const { image: turned, imageFromTurned } = turn(upright, degrees);
    const { image: small, imageFromSmall: turnedFromSmall } = shrink(turned, SIDE);
    planes(small, this.pixels);
    const answers = await this.session.run({ input: this.input }, OUTPUTS);
    const outputs = Object.fromEntries(OUTPUTS.map((name) => [name, answers[name].data]));
    const faces = moved(decode(outputs), compose(imageFromSmall, compose(imageFromTurned, turnedFromSmall)));
    return faces.filter(({ box, eyes }) => {
      const near = [...box, ...eyes].every((value) => Math.abs(value) <= FARTHEST_PX);
      return near && Math.min(box[2], box[3]) >= SMALLEST_PX;
    });
  }
}
