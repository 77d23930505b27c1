"""Models for phones and boards: LiteRT, ncnn, Core ML, and ONNX that ends before the decoding."""
