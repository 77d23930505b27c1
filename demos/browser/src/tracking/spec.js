/** What the landmark model says of itself, carried in its file (tracker/engines/spec.py). */

import { VIEW } from "./roi.js";

const KEY = "landmark_tracker.spec";
const [CONTRACT, SCHEME] = [1, "ibug68"];
const METADATA = 14; // number of the field metadata_props in ONNX's ModelProto
const LENGTH_DELIMITED = 2;

/** {size, presence, ...} of the model in those bytes. Throws an Error of one sentence where this page cannot use it. */
export function readSpec(bytes) {
  const spec = JSON.parse(metadata(bytes)[KEY] ?? "null");
  const wanted = { contract: CONTRACT, scheme: SCHEME, view: VIEW };
  const found = Object.fromEntries(Object.keys(wanted).map((name) => [name, spec?.[name]]));
  if (JSON.stringify(found) !== JSON.stringify(wanted)) {
    throw new Error(
      `The landmark model does not fit this page: expected ${JSON.stringify(wanted)}, got ${JSON.stringify(found)}.`,
    );
  }
  return spec;
}

/** The texts by name in an ONNX file's metadata. */
function metadata(bytes) {
  const entries = fieldsOf(bytes).filter(([number]) => number === METADATA);
  const text = new TextDecoder();
  return Object.fromEntries(
    entries.map(([, entry]) => {
      const parts = Object.fromEntries(fieldsOf(entry));
      return [text.decode(parts[1]), text.decode(parts[2])];
    }),
  );
}

/** Pairs of number and content of the fields of a protocol buffer that have a length. */
function fieldsOf(bytes) {
  let at = 0;
  const varint = () => {
    let [value, scale, byte] = [0, 1, 128];
    while (byte & 128) {
      byte = bytes[at++];
      value += (byte & 127) * scale;
      scale *= 128;
    }
    return value;
  };
  const fields = [];
  while (at < bytes.length) {
    const tag = varint();
    const [number, type] = [tag >> 3, tag & 7];
    if (type === LENGTH_DELIMITED) {
      const length = varint();
      fields.push([number, bytes.subarray(at, (at += length))]);
    } else if (type === 0) {
      varint();
    } else {
      at += type === 1 ? 8 : 4;
    }
  }
  return fields;
}
