/** Opens a network in ONNX Runtime's WebAssembly. */

/** ort: the module of ONNX Runtime. model: the file's bytes. Throws an Error of one sentence where it cannot run. */
export function openModel(ort, model) {
  const options = { executionProviders: ["wasm"], logSeverityLevel: 3 };
  return ort.InferenceSession.create(model, options).catch((error) => {
    throw new Error(`This browser cannot run the models (${error.message.split("\n")[0]}): try its newest version.`);
  });
}
