# landmarks on a CPU, x86-64 or Arm. Linted, not built and not run so far: docs/not_proven.md.
#   docker build --file docker/cpu.Dockerfile --tag landmarks:cpu .
#   docker run --rm --volume "$PWD:/data" landmarks:cpu track clip.mp4 --output clip.jsonl
FROM python:3.12.12-slim-bookworm AS build
WORKDIR /source
COPY . .
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12.12-slim-bookworm
ENV PYTHONUNBUFFERED=1
# The headless OpenCV needs no libraries of a display; a container has none. --serve shows the run in a browser.
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    python -m pip install --no-cache-dir /wheels/*.whl "onnxruntime>=1.17,<2" "opencv-python-headless>=4.8,<6"
RUN useradd --create-home --uid 10001 --groups video landmarks \
    && install --directory --owner landmarks --group landmarks /data
USER 10001
WORKDIR /data
VOLUME ["/data"]
HEALTHCHECK --interval=10m --timeout=60s --start-period=30s \
    CMD ["python", "-m", "tracker.doctor", "--selftest"]
ENTRYPOINT ["landmarks"]
CMD ["doctor"]
