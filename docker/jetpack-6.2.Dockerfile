# landmarks on a Jetson with JetPack 6.2: Python 3.10, CUDA 12.6, TensorRT 10.3. Linted, not built and not run so far:
# docs/not_proven.md. Build it on the Jetson; docs/guides/jetson.md says how it is started with a camera.
#   docker build --file docker/jetpack-6.2.Dockerfile --tag landmarks:jetpack-6.2 .
FROM nvcr.io/nvidia/l4t-jetpack:r36.4.0 AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN apt-get update && apt-get install --yes --no-install-recommends build-essential python3-dev python3-pip python3-venv \
    && rm -rf /var/lib/apt/lists/*
ENV PATH="/usr/local/cuda/bin:${PATH}"
WORKDIR /source
COPY . .
# PyCUDA comes as source only and needs nvcc
RUN python3 -m venv /build && /build/bin/pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . "pycuda>=2024.1,<2027"

FROM nvcr.io/nvidia/l4t-jetpack:r36.4.0
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# JetPack's OpenCV 4.8, which has GStreamer; never pip's. NumPy below 2, against which it was built.
RUN apt-get update && apt-get install --yes --no-install-recommends \
        gstreamer1.0-plugins-base gstreamer1.0-plugins-good libopencv-python python3-pip python3-venv \
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
