"""INT8 in the .onnx file: from a model in FP32 to one whose nodes are in int8 as far as its landmarks allow."""
