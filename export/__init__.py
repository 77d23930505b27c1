"""Export of trained models: ONNX files, TensorRT engines, Triton model repositories."""
