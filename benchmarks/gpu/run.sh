#!/usr/bin/env bash
# Measures on a machine with a GPU and without a network:
#
#     bash benchmarks/gpu/run.sh BUNDLE RESULTS [MINUTES] [further options of benchmarks.gpu]
#
# BUNDLE is what `python -m benchmarks.gpu.bundle` wrote. RESULTS gets results.tar (all JSON files, summary.md, logs) and
# the weights, as at most 5 files of at most 16 MiB, all written anew every 5 seconds, so a cut costs little. A second
# call with the same RESULTS keeps the stages that are done and runs the others.
# $PYTHON is the Python with PyTorch, python3 if not set.
set -uo pipefail
set -m # each job has a process group of its own, which can be ended as a whole
if [ $# -lt 2 ]; then
    echo "usage: bash benchmarks/gpu/run.sh BUNDLE RESULTS [MINUTES] [options]" >&2
    exit 2
fi
bundle=$(realpath "$1"); mkdir -p "$2" || exit; results=$(realpath "$2"); minutes=${3:-8}
shift $(($# < 3 ? $# : 3))
cd "$(dirname "$0")/../.." || exit
python=${PYTHON:-python3}
work=$(mktemp -d); out=$work/out
mkdir "$out" "$work/pycuda"
touch "$out/log.txt"
if [ -e "$results/results.tar" ] && ! tar -xf "$results/results.tar" -C "$out"; then
    echo "$results/results.tar of an earlier call cannot be read; name another folder for the results" >&2
    rm -rf "$work"
    exit 2
fi

collect() {
    # Status 1: a file grew meanwhile, as the log does.
    { tar -cf "$work/results.tar" -C "$out" --exclude='weights.*' --exclude='.*.part' . || [ $? = 1 ]; } &&
        cp "$work/results.tar" "$results/.part" && mv "$results/.part" "$results/results.tar"
    for file in "$out"/weights.*; do
        name=$(basename "$file")
        if [ "$file" -nt "$results/$name" ]; then cp -p "$file" "$results/.part" && mv "$results/.part" "$results/$name"; fi
    done
}

# PyCUDA takes minutes to build, so the measurement does not wait for it. Without cuRAND, whose library may be missing.
# It starts when the times have been taken and the training begins.
build_pycuda() {
    local root
    until [ -e "$out/training.json" ]; do sleep 1; done
    for root in "${CUDA_HOME:-}" /usr/local/cuda "$(dirname "$(readlink -f "$(command -v nvcc)")")/.."; do
        if [ -e "$root/include/cuda.h" ]; then break; fi
    done
    # To link with, as the real one is the driver's. It has a call, for a library that gives nothing is not linked.
    echo 'void cuInit(void) {}' | cc -shared -fPIC -xc - -Wl,-soname,libcuda.so.1 -o "$work/libcuda.so" &&
        tar -xf "$bundle"/sources/pycuda-*.tar.gz -C "$work" && cd "$work"/pycuda-* &&
        "$python" configure.py --cuda-root="$root" --cudadrv-lib-dir="$work" --no-cuda-enable-curand &&
        nice -n 10 "$python" -m pip install --no-index --no-deps --no-build-isolation --target "$work/built" . &&
        mv "$work"/built/* "$work/pycuda/"
}

"$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$work/site" "$bundle"/wheels/*.whl || exit
export PYTHONPATH="$work/site:$work/pycuda${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
helpers=()
if [ -d "$bundle/sources" ] && command -v nvcc >/dev/null; then
    (build_pycuda) >>"$out/pycuda.log" 2>&1 &
    helpers+=($!)
fi
(while sleep 5 && kill -0 $$; do collect; done) >/dev/null 2>&1 & # not longer than this script lives
helpers+=($!)
measuring=
finish() {
    trap '' TERM INT
    { # timeout ends the processes that it started
        if [ -n "$measuring" ]; then kill "$measuring"; fi
        for helper in "${helpers[@]}"; do kill -- "-$helper"; done
        wait
    } 2>/dev/null
    collect
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 143' TERM INT
# One minute more than it wants, in case that it hangs.
timeout -k 10 "$(awk "BEGIN {print 60 * $minutes + 60}")" "$python" -m benchmarks.gpu --minutes "$minutes" \
    --pictures "$bundle/pictures.zip" --output "$out" "$@" >>"$out/log.txt" 2>&1 &
measuring=$!
tail -n 0 -s 0.2 -f --pid="$measuring" "$out/log.txt" &
wait "$measuring"
status=$?
exit "$status"
