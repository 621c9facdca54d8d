"""Times one runtime on one model; `run` starts it in a process of its own.

    contender.py RUNTIME MODEL --threads T --runs N [--mask]

The last line on stdout is an object: runs_ms (of each run), first_ms (from this
program's start, imports included, to the first result), peak_mb, version. What is
given and fetched in a run are numpy arrays, copied as each runtime's own examples do.
"""

import time

START = time.perf_counter()

import argparse
import json
import pathlib
import sys
from importlib import metadata

import numpy as np

WARMUP = 3  # Runs after the first one that are not measured.


def picture(shape, dtype):
    """A picture of noise. What is in it does not change how long a network takes."""
    if len(shape) != 4 or any(not isinstance(n, int) or n < 1 for n in shape) or shape[0] != 1:
        sys.exit(f"the input's shape is {shape}; one picture of a fixed size is needed")
    noise = np.random.default_rng(0)
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return noise.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    return noise.uniform(-1, 1, shape).astype(dtype)


def onnxruntime(model, threads):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    dtype = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(int8)": np.int8}.get(given.type)
    if dtype is None:
        sys.exit(f"the input is a {given.type}; float, uint8 or int8 is needed")
    feed = {given.name: picture(given.shape, dtype)}
    return lambda: session.run(None, feed)[0], given.shape


def openvino(model, threads):
    import openvino as ov

    core = ov.Core()
    # f32 where the file says so: by itself it takes bfloat16 where the processor has it.
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = core.compile_model(model, "CPU", options)
    given = compiled.input(0)
    if given.partial_shape.is_dynamic:
        sys.exit(f"the input's shape is {given.partial_shape}; one picture of a fixed size is needed")
    shape = [int(n) for n in given.shape]
    tensor = ov.Tensor(picture(shape, given.element_type.to_dtype().type))
    request = compiled.create_infer_request()

    def run():
        request.infer([tensor])
        return request.get_output_tensor(0).data

    return run, shape


def litert(model, threads):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model, num_threads=threads)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]
    result = interpreter.get_output_details()[0]["index"]
    shape = [int(n) for n in given["shape"]]
    pixels = picture(shape, given["dtype"])

    def run():
        interpreter.set_tensor(given["index"], pixels)
        interpreter.invoke()
        return interpreter.get_tensor(result)

    return run, shape


RUNTIMES = {  # Package, and what makes a run.
    "onnxruntime": ("onnxruntime", onnxruntime),
    "openvino": ("openvino", openvino),
    "litert": ("ai-edge-litert", litert),
}


def with_mask(run, shape):
    """The same run and the class of each pixel, over the axis on which the input has its colours."""
    axis = 1 if shape[1] == 3 else 3

    def run_to_mask():
        scores = run()
        if scores.ndim != 4 or scores.shape[axis] < 2:
            sys.exit(f"the result's shape is {scores.shape}; these are no scores of classes")
        return scores.argmax(axis)

    return run_to_mask


def peak_mb():
    """Most memory that was resident since this program began, unlike getrusage's figure."""
    status = pathlib.Path("/proc/self/status").read_text()
    kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(kib) * 1024 / 1e6


def milliseconds_since(start):
    return (time.perf_counter() - start) * 1e3


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("runtime", choices=RUNTIMES)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--mask", action="store_true")
    args = parser.parse_args()

    package, make = RUNTIMES[args.runtime]
    run, shape = make(args.model, args.threads)
    if args.mask:
        run = with_mask(run, shape)
    run()
    first = milliseconds_since(START)
    for _ in range(WARMUP):
        run()
    runs = []
    for _ in range(args.runs):
        start = time.perf_counter()
        run()
        runs.append(milliseconds_since(start))
    report = {"runs_ms": runs, "first_ms": first, "peak_mb": peak_mb(), "version": metadata.version(package)}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
