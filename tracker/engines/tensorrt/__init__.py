"""TensorRT, CUDA and frames on the GPU: what needs an NVIDIA GPU is in this folder."""
