# landmarks on a Jetson with JetPack 7.2: Python 3.12, CUDA 13.2, TensorRT 10.16. Linted, not built and not run so far:
# docs/not_proven.md. Build it on the Jetson; docs/guides/jetson.md says how it is started with a camera.
#   docker build --file docker/jetpack-7.2.Dockerfile --tag landmarks:jetpack-7.2 .
# From JetPack 7 on a Jetson takes CUDA's images for Arm servers (SBSA); their apt sources have TensorRT, too.
FROM nvcr.io/nvidia/cuda:13.2.0-devel-ubuntu24.04 AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN apt-get update && apt-get install --yes --no-install-recommends build-essential python3-dev python3-pip python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
# PyCUDA comes as source only and needs nvcc
RUN python3 -m venv /build && /build/bin/pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . "pycuda>=2024.1,<2027"

FROM nvcr.io/nvidia/cuda:13.2.0-runtime-ubuntu24.04
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# TensorRT 10.16 and not 11, which does not support JetPack. Ubuntu's OpenCV has GStreamer; pip's has not.
RUN apt-get update && apt-get install --yes --no-install-recommends \
        gstreamer1.0-plugins-base gstreamer1.0-plugins-good \
        "libnvinfer10=10.16.*" "libnvinfer-plugin10=10.16.*" "libnvonnxparsers10=10.16.*" "python3-libnvinfer=10.16.*" \
        python3-opencv python3-pip python3-venv \
    && rm -rf /var/lib/apt/lists/*
ENV PATH="/opt/landmarks/bin:${PATH}" PYTHONUNBUFFERED=1
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    python3 -m venv --system-site-packages /opt/landmarks \
    && pip install --no-cache-dir /wheels/*.whl "numpy>=1.23,<2" "onnxruntime>=1.17,<2" \
    && python -c "import cv2, tensorrt; print(cv2.__version__, tensorrt.__version__)" \
    && python -c "import cv2; v = cv2.__version__; assert tuple(map(int, v.split('.')[:2])) >= (4, 8), f'OpenCV {v}: 4.8'" \
    && python -c "import cv2, re; assert re.search(r'GStreamer: +YES', cv2.getBuildInformation())"
COPY tracker/weights/edge68.onnx tracker/weights/edge68_fast.onnx /models/
RUN useradd --create-home --uid 10001 --groups video landmarks \
    && install --directory --owner landmarks --group landmarks /data /models/engines
USER 10001
WORKDIR /data
# Engines of TensorRT, built on the device beside the models: kept over a new image
VOLUME ["/models/engines", "/data"]
HEALTHCHECK --interval=10m --timeout=120s --start-period=60s \
    CMD ["python", "-m", "tracker.doctor", "--selftest"]
ENTRYPOINT ["landmarks"]
CMD ["doctor"]
