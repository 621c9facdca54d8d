#!/usr/bin/env python3
"""Writes the fixtures of tests/ops.rs: one quantized ONNX model for each operator
and form, and what ONNX Runtime makes of a picture with it.

    pip install onnx onnxruntime numpy
    python3 tests/data/make_ops.py            # rewrites tests/data/ops/
    python3 tests/data/make_ops.py --kernels  # also prints which kernels ran

Each case is a small float graph with random weights, quantized by ONNX Runtime's
own `quantize_static` in the forms that users have:

    u8s8    QDQ, unsigned activations, signed weights, one scale a tensor
    s8s8    QDQ, signed activations and weights, one scale an output channel
    u8u8    QDQ, unsigned weights with zero points, as converters from TFLite write
    qop     operators on codes (QLinearConv and so on), signed weights by channel
    qops    the same with signed activations

    tflite  QDQ with a picture of bytes in rows, columns, channels, made by hand in the
            way of a converter from TFLite: every tensor unsigned, axes turned
            around each operator, borders of their own

The graph is cut where the case's result is quantized, and a 1x1 MaxPool, which
changes nothing, is put behind it, so that a compiler that merges the end of a
graph into the choice of the class leaves the case itself alone.

ONNX Runtime runs with its default optimization, that is, with its fused integer
kernels; `session.qdqisint8allowed` is set, without which it runs convolutions of
signed activations in float on x86. Run this on a processor with VNNI (or on ARM):
on older x86 processors ONNX Runtime's u8s8 products saturate in 16 bits and its
own results are wrong.

The output is one safetensors file for each group of cases. It holds, for each
picture size, `input.HxW` (rows, columns, RGB), and for each case `<name>.<form>.model`
(the ONNX file) and `<name>.<form>.output` (rows, columns, channels; signed codes
are stored plus 128). All random numbers come from seeds made of the names.
"""

import argparse
import collections
import json
import logging
import pathlib
import tempfile
import zlib

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

OPSET = 17
FORMS = {
    "u8s8": (QuantFormat.QDQ, QuantType.QUInt8, QuantType.QInt8, False),
    "s8s8": (QuantFormat.QDQ, QuantType.QInt8, QuantType.QInt8, True),
    "u8u8": (QuantFormat.QDQ, QuantType.QUInt8, QuantType.QUInt8, False),
    "qop": (QuantFormat.QOperator, QuantType.QUInt8, QuantType.QInt8, True),
    "qops": (QuantFormat.QOperator, QuantType.QInt8, QuantType.QInt8, True),
}
EVERY = ("u8s8", "s8s8", "qop", "qops")
QDQ = ("u8s8", "s8s8")


class Graph:
    """A float graph under construction; its input is a picture named `x`."""

    def __init__(self, name, height, width):
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))
        self.size = (height, width)
        self.opset = OPSET
        self.nodes = []
        self.stored = []

    def constant(self, array):
        name = f"k{len(self.stored)}"
        self.stored.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def op(self, kind, *inputs, **attributes):
        """Adds a node; arrays among its inputs are stored, None is left out."""
        names = [
            i if isinstance(i, str) else "" if i is None else self.constant(i)
            for i in inputs
        ]
        name = attributes.pop("name", f"n{len(self.nodes)}")
        output = f"{name}_"
        self.nodes.append(helper.make_node(kind, names, [output], name, **attributes))
        return output

    def floats(self, *shape, low=-1.0, high=1.0):
        return self.rng.uniform(low, high, shape).astype(np.float32)

    def conv(self, x, inputs, outputs, kernel=1, bias=True, **attributes):
        kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
        per_group = inputs // attributes.get("group", 1)
        weights = self.floats(outputs, per_group, kh, kw)
        # Channels of unlike size, so that scales by channel differ.
        weights *= self.floats(outputs, 1, 1, 1, low=0.2, high=2.0)
        rest = [self.floats(outputs)] if bias else []
        return self.op("Conv", x, weights, *rest, **attributes)

    def model(self, output):
        picture = helper.make_tensor_value_info(
            "x", TensorProto.FLOAT, [1, 3, *self.size]
        )
        result = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        graph = helper.make_graph(
            self.nodes, "g", [picture], [result], initializer=self.stored
        )
        opsets = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        return onnx.shape_inference.infer_shapes(model)


CASES = []


def case(group, forms=EVERY, size=(7, 9), channels=3, name=None):
    """Registers a function from a graph to the tensor under test, which has so many
    channels.
    """

    def register(build):
        CASES.append((group, name or build.__name__, forms, size, channels, build))
        return build

    return register


def feed(codes):
    """The model's input for a picture of bytes, rows, columns and RGB."""
    real = (codes.astype(np.float32) - np.float32(127.5)) / np.float32(127.5)
    return {"x": real.transpose(2, 0, 1)[None]}


def picture(height, width):
    """Random bytes, one in four 0 or 255."""
    rng = np.random.default_rng([height, width])
    codes = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    extreme = rng.random((height, width)) < 0.25
    codes[extreme] = rng.choice(np.uint8([0, 255]), (height, width, 3))[extreme]
    return codes


class Pictures(CalibrationDataReader):
    def __init__(self, size):
        rng = np.random.default_rng(1)
        self.left = [feed(picture(*size))]
        self.left += [feed(rng.integers(0, 256, (*size, 3))) for _ in range(2)]

    def get_next(self):
        return self.left.pop() if self.left else None


def quantized(model, form, size, folder):
    """The model in one form."""
    quant_format, activations, weights, per_channel = FORMS[form]
    path = folder / "quantized.onnx"
    quantize_static(
        model,
        path,
        Pictures(size),
        quant_format=quant_format,
        activation_type=activations,
        weight_type=weights,
        per_channel=per_channel,
        extra_options={"DedicatedQDQPair": False},
    )
    return onnx.load(path)


def cut(model, form, size, softmax):
    """Ends the graph in the codes that the node `tail` reads."""
    graph = model.graph
    makers = {output: node for node in graph.node for output in node.output}
    (tail,) = [n for n in graph.node if n.name in ("tail", "tail_quant")]
    codes = tail.input[0]
    if makers[codes].op_type == "DequantizeLinear":
        codes = makers[codes].input[0]
    nodes = list(graph.node)
    last = codes
    if not softmax:
        last = "end"
        nodes.append(helper.make_node("MaxPool", [codes], [last], kernel_shape=[1, 1]))
        makers[last] = nodes[-1]
    needed, kept = [last], set()
    while needed:
        maker = makers.get(needed.pop())
        if maker is not None and id(maker) not in kept:
            kept.add(id(maker))
            needed += [i for i in maker.input if i]
    nodes = [n for n in nodes if id(n) in kept]
    read = {i for n in nodes for i in n.input}
    stored = [t for t in graph.initializer if t.name in read]
    short = Shortener()
    for tensor in stored:
        tensor.name = short(tensor.name)
    for index, node in enumerate(nodes):
        node.name = f"{node.op_type}{index}"
        node.doc_string = ""
        names = [short(i) for i in node.input]
        del node.input[:]
        node.input.extend(names)
        names = [short(o) for o in node.output]
        del node.output[:]
        node.output.extend(names)
    signed = FORMS[form][1] == QuantType.QInt8
    element = TensorProto.INT8 if signed else TensorProto.UINT8
    value = helper.make_tensor_value_info
    result = helper.make_graph(
        nodes,
        "g",
        [value("x", TensorProto.FLOAT, [1, 3, *size])],
        [value(short(last), element, None)],
        initializer=stored,
    )
    return helper.make_model(
        result, opset_imports=model.opset_import, ir_version=8
    )


class Shortener:
    """Short names for tensors; the picture keeps its own."""

    def __init__(self):
        self.names = {"": "", "x": "x"}

    def __call__(self, name):
        return self.names.setdefault(name, f"t{len(self.names):x}")


def run(model, codes, kernels):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    options.log_severity_level = 3
    if kernels is not None:
        options.optimized_model_filepath = str(kernels)
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    of_bytes = session.get_inputs()[0].type == "tensor(uint8)"
    (result,) = session.run(None, {"x": codes[None]} if of_bytes else feed(codes))
    if result.dtype == np.int8:
        result = (result.astype(np.int16) + 128).astype(np.uint8)
    assert result.dtype == np.uint8 and result.ndim == 4, (result.dtype, result.shape)
    if of_bytes:
        return result[0]
    return np.ascontiguousarray(result[0].transpose(1, 2, 0))


class Converted(Graph):
    """A graph that is quantized as it is built; every tensor is of codes."""

    def __init__(self, name, height, width):
        super().__init__(name, height, width)
        self.quant = {"x": (np.float32(2 / 255), np.uint8(127))}

    def scale(self, low=0.01, high=0.03):
        return np.float32(self.rng.uniform(low, high))

    def real(self, codes):
        return self.op("DequantizeLinear", codes, *self.quant[codes])

    def codes(self, real, scale=None, zero=None):
        zero = self.rng.integers(90, 170) if zero is None else zero
        quant = (scale or self.scale(), np.uint8(zero))
        made = self.op("QuantizeLinear", real, *quant)
        self.quant[made] = quant
        return made

    def turned(self, kind, real, *inputs, **attributes):
        """An operator on channels first between pictures with channels last."""
        x = self.op("Transpose", real, perm=[0, 3, 1, 2])
        x = self.op(kind, x, *inputs, **attributes)
        return self.op("Transpose", x, perm=[0, 2, 3, 1])

    def weights(self, x, outputs, per_group, kernel):
        """Unsigned weights with a zero point, and a bias in the sums' scale."""
        shape = (outputs, per_group, kernel, kernel)
        codes = self.rng.integers(0, 256, shape, dtype=np.uint8)
        quant = (self.scale(0.002, 0.006), np.uint8(self.rng.integers(100, 150)))
        bias = self.rng.integers(-2000, 2000, outputs).astype(np.int32)
        step = np.float32(self.quant[x][0] * quant[0])
        return (
            self.op("DequantizeLinear", self.constant(codes), *quant),
            self.op("DequantizeLinear", self.constant(bias), step, np.int32(0)),
        )

    def model(self, output):
        value = helper.make_tensor_value_info
        picture = value("x", TensorProto.UINT8, [1, *self.size, 3])
        result = value(output, TensorProto.UINT8, None)
        graph = helper.make_graph(
            self.nodes, "g", [picture], [result], initializer=self.stored
        )
        opsets = [helper.make_opsetid("", 13)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def write(path, arrays):
    """A safetensors file of bytes."""
    header, offset = {}, 0
    for name, array in arrays.items():
        end = offset + array.size
        header[name] = {
            "dtype": "U8",
            "shape": list(array.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for array in arrays.values():
            file.write(array.tobytes())


# Convolutions. The picture is the input of the first; two or three in a row give
# many channels, real scales and zero points to the next.


def convolution(name, kernel, inputs=3, outputs=4, forms=EVERY, size=(7, 9), **attributes):
    @case("conv", forms, size, outputs, name=name)
    def build(g):
        x = "x"
        if inputs != 3:
            x = g.conv(x, 3, inputs)
        return g.conv(x, inputs, outputs, kernel, **attributes)


ALL = (*EVERY, "u8u8")
convolution("conv_1x1", 1, forms=ALL)
convolution("conv_1x1_no_bias", 1, bias=False)
convolution("conv_1x1_wide", 1, inputs=40, outputs=35, size=(3, 4))
convolution("conv_1x1_stride", 1, inputs=5, strides=[2, 3])
convolution("conv_3x3_pads", 3, pads=[1, 1, 1, 1], forms=ALL)
convolution("conv_3x3_uneven_pads", 3, pads=[0, 2, 1, 0])
convolution("conv_3x3_stride_same_upper", 3, strides=[2, 2], auto_pad="SAME_UPPER", size=(8, 10))
convolution("conv_3x3_stride_same_lower", 3, strides=[2, 2], auto_pad="SAME_LOWER", size=(8, 10))
convolution("conv_3x3_valid", 3, strides=[1, 2], auto_pad="VALID")
convolution("conv_3x3_atrous", 3, inputs=6, dilations=[2, 3], pads=[2, 3, 2, 3])
convolution("conv_3x3_atrous_beyond", 3, dilations=[6, 8], pads=[6, 8, 6, 8])
convolution("conv_1x5", (1, 5), pads=[0, 2, 0, 2])
convolution("conv_groups", 3, inputs=8, outputs=12, group=4, pads=[1, 1, 1, 1])
convolution("depthwise_3x3", 3, inputs=9, outputs=9, group=9, pads=[1, 1, 1, 1], forms=ALL)
convolution("depthwise_3x3_stride", 3, inputs=4, group=4, strides=[2, 2], pads=[0, 0, 1, 1])
convolution("depthwise_5x5_atrous", 5, inputs=4, group=4, dilations=[2, 2], pads=[4, 4, 4, 4])
convolution("depthwise_same_upper", 3, inputs=3, outputs=3, group=3, strides=[2, 2], auto_pad="SAME_UPPER")
convolution("depthwise_multiplier", 3, inputs=3, outputs=6, group=3, pads=[1, 1, 1, 1])


@case("conv", ALL, channels=6)
def conv_chain(g):
    """An inverted residual's convolutions with their activations."""
    x = g.conv("x", 3, 8, 3, strides=[1, 1], pads=[1, 1, 1, 1])
    x = g.op("Relu", x)
    x = g.conv(x, 8, 8, 3, group=8, pads=[1, 1, 1, 1])
    x = g.op("Clip", x, np.float32(0), np.float32(6))
    return g.conv(x, 8, 6)


@case("conv", channels=5)
def conv_clip_both(g):
    return g.op("Clip", g.conv("x", 3, 5), np.float32(-0.7), np.float32(0.9))


@case("conv", channels=4)
def conv_clip_constant_nodes(g):
    low, high = (
        g.op("Constant", value=numpy_helper.from_array(np.float32(v), "v"))
        for v in (0.1, 0.8)
    )
    return g.op("Clip", g.conv("x", 3, 4), low, high)


@case("conv", channels=4)
def conv_pad_before(g):
    """A border of zeros of its own in front of a convolution."""
    x = g.conv("x", 3, 5)
    x = g.op("Pad", x, np.int64([0, 0, 0, 1, 0, 0, 2, 1]), np.float32(0))
    return g.conv(x, 5, 4, 3, strides=[2, 2])


@case("conv", channels=4)
def conv_pad_picture(g):
    x = g.op("Pad", "x", np.int64([0, 0, 1, 1, 0, 0, 1, 2]), np.float32(0))
    return g.conv(x, 3, 4, 3, pads=[0, 1, 0, 0])


# Functions of one number, on nearly all 256 codes: of a depthwise convolution,
# since the quantizer leaves a function of the picture itself in float.


def spread(g):
    weights = np.float32([1.4731, -0.8127, 1.0353]).reshape(3, 1, 1, 1)
    return g.op("Conv", "x", weights, np.float32([0.3137, 0, -0.1019]), group=3)


def function(name, kind, *constants, forms=EVERY, **attributes):
    @case("function", forms, (14, 15), name=name)
    def build(g):
        return g.op(kind, spread(g), *constants, **attributes)


function("relu", "Relu")
function("clip", "Clip", np.float32(-0.25), np.float32(0.6))
function("leaky_relu", "LeakyRelu", alpha=0.1)
function("sigmoid", "Sigmoid")
function("tanh", "Tanh", forms=QDQ)
function("hard_sigmoid", "HardSigmoid", forms=QDQ, alpha=1 / 6, beta=0.5)
function("hard_swish", "HardSwish")
function("prelu_scalar", "PRelu", np.float32([0.2]), forms=("u8s8", "qop"))
function("prelu_channels", "PRelu", np.float32([0.2, -0.4, 0.0]).reshape(3, 1, 1), forms=("u8s8", "s8s8", "qop"))
function("add_constant", "Add", np.float32([0.4]))
function("mul_constant", "Mul", np.float32([-1.7]))
function("sub_constant", "Sub", np.float32([0.3]), forms=("u8s8", "qop"))
function("div_constant", "Div", np.float32([6.0]), forms=("u8s8", "qop"))
function("add_channels", "Add", np.float32([0.4, -0.6, 0.05]).reshape(1, 3, 1, 1))
function("mul_channels", "Mul", np.float32([0.4, -1.6, 1.0]).reshape(1, 3, 1, 1))


@case("function", ("u8s8", "s8s8"))
def normalized_picture(g):
    """Mean and deviation inside the graph, before anything is quantized."""
    x = g.op("Sub", "x", np.float32([0.1, -0.2, 0.05]).reshape(1, 3, 1, 1))
    x = g.op("Relu", g.op("Div", x, np.float32([0.5, 0.4, 0.6]).reshape(3, 1, 1)))
    return g.op("Tanh", x)


@case("function", channels=4)
def hard_swish_of_hard_sigmoid(g):
    x = g.conv("x", 3, 4)
    gate = g.op("HardSigmoid", x, alpha=1 / 6, beta=0.5)
    return g.op("Mul", x, gate)


@case("function", channels=4)
def hard_swish_of_clip(g):
    x = g.conv("x", 3, 4)
    gate = g.op("Clip", g.op("Add", x, np.float32(3)), np.float32(0), np.float32(6))
    return g.op("Div", g.op("Mul", x, gate), np.float32(6))


@case("function", channels=4)
def swish(g):
    x = g.conv("x", 3, 4)
    return g.op("Mul", x, g.op("Sigmoid", x))


@case("function", QDQ, channels=4)
def leaky_relu_after_convolution(g):
    return g.op("LeakyRelu", g.conv("x", 3, 4), alpha=0.2)


# Sums, products and concatenations.


@case("join", channels=5)
def add(g):
    return g.op("Add", g.conv("x", 3, 5), g.conv("x", 3, 5))


@case("join", channels=5)
def add_relu(g):
    return g.op("Relu", g.op("Add", g.conv("x", 3, 5), g.conv("x", 3, 5)))


@case("join")
def add_the_picture(g):
    return g.op("Add", "x", g.conv("x", 3, 3))


@case("join", channels=5)
def mul(g):
    return g.op("Mul", g.conv("x", 3, 5), g.conv("x", 3, 5))


@case("join", channels=5)
def mul_pixel(g):
    x = g.conv("x", 3, 5)
    return g.op("Mul", x, g.op("GlobalAveragePool", x))


@case("join", channels=5)
def add_pixel(g):
    x = g.conv("x", 3, 5)
    return g.op("Add", g.op("GlobalAveragePool", x), x)


@case("join", channels=10)
def concat(g):
    return g.op("Concat", g.conv("x", 3, 5), "x", g.conv("x", 3, 2), axis=1)


@case("join", channels=9)
def concat_nested(g):
    x = g.conv("x", 3, 4)
    joined = g.op("Concat", x, "x", axis=1)
    return g.op("Concat", joined, g.conv(joined, 7, 2), axis=1)


@case("join", channels=3)
def slice_of_channels(g):
    x = g.conv("x", 3, 6)
    return g.op("Slice", x, np.int64([2]), np.int64([-1]), np.int64([1]))


@case("join", channels=5)
def slice_of_joined_parts(g):
    """A ghost module's: what is too much of a concatenation is cut off."""
    x = g.op("Relu", g.conv("x", 3, 4))
    joined = g.op("Concat", x, g.conv(x, 4, 4, group=4), axis=1)
    starts, ends = np.int64([0, 0, 0, 0]), np.int64([2**40, 5, 2**40, 2**40])
    return g.conv(g.op("Slice", joined, starts, ends), 5, 5)


# More rows and columns, fewer of them, and the larger of two.


def transposed(name, kernel, inputs=4, outputs=3, bias=True, forms=QDQ, **attributes):
    @case("space", forms, channels=outputs, name=name)
    def build(g):
        kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
        weights = g.floats(inputs, outputs, kh, kw) * g.floats(1, outputs, 1, 1, low=0.2, high=2.0)
        rest = [g.floats(outputs)] if bias else []
        return g.op("ConvTranspose", g.conv("x", 3, inputs), weights, *rest, **attributes)


@case("space", EVERY, channels=4)
def border_wider_than_the_window(g):
    return g.conv("x", 3, 4, kernel=3, pads=[5, 4, 6, 3])


@case("space", QDQ, channels=4)
def border_wider_than_the_window_by_channel(g):
    return g.conv(g.conv("x", 3, 4), 4, 4, kernel=3, group=4, pads=[4, 5, 3, 6], strides=[2, 1])


transposed("transposed_2", 2, strides=[2, 2])
transposed("transposed_4_pads", 4, strides=[2, 2], pads=[1, 1, 1, 1], bias=False)
transposed("transposed_3_extra", 3, strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1])
transposed("transposed_uneven", (5, 3), strides=[3, 2], pads=[2, 0, 1, 1])
transposed("transposed_stride_1", 3, pads=[1, 1, 1, 1])
transposed("transposed_gaps", 2, strides=[3, 3])
transposed("transposed_fcn", 16, inputs=5, outputs=5, strides=[8, 8], bias=False)


@case("space", QDQ, channels=3)
def transposed_relu(g):
    weights = g.floats(4, 3, 4, 4)
    return g.op("Relu", g.op("ConvTranspose", g.conv("x", 3, 4), weights, strides=[2, 2]))


@case("space", QDQ, channels=2)
def depth_to_space(g):
    return g.op("DepthToSpace", g.conv("x", 3, 18), blocksize=3)


@case("space", channels=4)
def slice_of_rows(g):
    return g.op("Slice", g.conv("x", 3, 4), np.int64([2]), np.int64([6]), np.int64([2]))


@case("space", channels=4)
def slice_of_pixels(g):
    starts, ends, axes = np.int64([1, 3]), np.int64([-1, 2**40]), np.int64([2, 3])
    return g.op("Slice", g.conv("x", 3, 4), starts, ends, axes)


@case("space", QDQ, channels=4)
def larger(g):
    return g.op("Max", g.conv("x", 3, 4), g.conv("x", 3, 4))


@case("space", QDQ, channels=4)
def largest_of_three(g):
    parts = [g.conv("x", 3, 4) for _ in range(3)]
    return g.op("Relu", g.op("Max", *parts))


# Pools.


def pool(name, kind, forms=EVERY, size=(7, 9), **attributes):
    @case("pool", forms, size, 4, name=name)
    def build(g):
        return g.op(kind, g.conv("x", 3, 4), **attributes)


K3 = {"kernel_shape": [3, 3]}
pool("average", "AveragePool", **K3, strides=[2, 2])
pool("average_pads", "AveragePool", **K3, pads=[1, 1, 1, 1])
pool("average_same_upper", "AveragePool", **K3, strides=[2, 2], auto_pad="SAME_UPPER", size=(8, 10))
pool("average_count_pads", "AveragePool", **K3, pads=[1, 0, 1, 2], count_include_pad=1)
pool("average_ceil", "AveragePool", **K3, strides=[2, 2], ceil_mode=1, size=(8, 10))
pool("average_ceil_pads", "AveragePool", **K3, strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1, size=(8, 10))
pool("average_ceil_count_pads", "AveragePool", **K3, strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1, count_include_pad=1)
pool("max", "MaxPool", **K3, strides=[2, 2])
pool("max_pads", "MaxPool", **K3, strides=[2, 2], pads=[1, 1, 0, 1])
pool("max_ceil", "MaxPool", **K3, strides=[2, 2], ceil_mode=1, size=(8, 10))
pool("max_same_lower", "MaxPool", kernel_shape=[2, 3], strides=[2, 1], auto_pad="SAME_LOWER")
pool("max_atrous", "MaxPool", **K3, dilations=[2, 2], pads=[1, 1, 1, 1])
pool("global_average", "GlobalAveragePool")
pool("global_average_large", "GlobalAveragePool", size=(33, 31), forms=("u8s8", "qop"))
pool("reduce_mean", "ReduceMean", axes=[2, 3], keepdims=1, forms=("u8s8", "qop"))


@case("pool", channels=4)
def average_after_pad(g):
    x = g.conv("x", 3, 4)
    x = g.op("Pad", x, np.int64([0, 0, 1, 1, 0, 0, 1, 1]), np.float32(0))
    return g.op("AveragePool", x, **K3, strides=[2, 2])


@case("pool", channels=4)
def max_after_pad(g):
    x = g.op("Relu", g.conv("x", 3, 4))
    x = g.op("Pad", x, np.int64([0, 0, 1, 1, 0, 0, 1, 1]), np.float32(0))
    return g.op("MaxPool", x, **K3, strides=[2, 2])


@case("pool", ("u8s8", "qop"), channels=4)
def mean_of_opset_18(g):
    """Its axes are an input there."""
    g.opset = 18
    return g.op("ReduceMean", g.conv("x", 3, 4), np.int64([-1, 2]), keepdims=1)


# Other sizes.


def resize(name, sizes=None, scales=None, forms=("u8s8", "s8s8", "qop"), size=(5, 6), **attributes):
    @case("resize", forms, size, 4, name=name)
    def build(g):
        x = g.conv("x", 3, 4)
        if sizes:
            return g.op("Resize", x, None, None, np.int64([1, 4, *sizes]), **attributes)
        return g.op("Resize", x, None, np.float32([1, 1, *scales]), **attributes)


for coordinates in ("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"):
    for way, sizes in (("up", [13, 15]), ("down", [3, 4])):
        resize(
            f"bilinear_{coordinates}_{way}",
            sizes,
            mode="linear",
            coordinate_transformation_mode=coordinates,
        )
        for rule in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil"):
            resize(
                f"nearest_{coordinates}_{rule}_{way}",
                sizes,
                forms=("u8s8",),
                mode="nearest",
                nearest_mode=rule,
                coordinate_transformation_mode=coordinates,
            )
resize("nearest_twice", scales=[2, 2], forms=EVERY, mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric")
resize("bilinear_twice", scales=[2, 2], forms=EVERY, mode="linear", coordinate_transformation_mode="half_pixel")
resize("bilinear_four_times", scales=[4, 4], mode="linear", coordinate_transformation_mode="align_corners", size=(4, 3))
resize("bilinear_half", scales=[0.5, 0.5], mode="linear", coordinate_transformation_mode="half_pixel", size=(6, 8))


@case("resize", ("u8s8", "qop"), (5, 6), 4)
def pixel_to_picture(g):
    x = g.op("GlobalAveragePool", g.conv("x", 3, 4))
    return g.op("Resize", x, None, None, np.int64([1, 4, 5, 6]), mode="linear")


@case("resize", QDQ, (5, 6), 4)
def expand_pixel(g):
    x = g.op("GlobalAveragePool", g.conv("x", 3, 4))
    return g.op("Expand", x, np.int64([1, 4, 5, 6]))


# Products of matrices.


@case("matrix", channels=6)
def matmul_on_channels_last(g):
    x = g.op("Transpose", g.conv("x", 3, 5), perm=[0, 2, 3, 1])
    x = g.op("MatMul", x, g.floats(5, 6))
    return g.op("Transpose", x, perm=[0, 3, 1, 2])


@case("matrix", channels=6)
def matmul_and_bias(g):
    x = g.op("Transpose", g.conv("x", 3, 5), perm=[0, 2, 3, 1])
    x = g.op("Add", g.op("MatMul", x, g.floats(5, 6)), g.floats(6))
    return g.op("Transpose", x, perm=[0, 3, 1, 2])


@case("matrix", ALL, channels=6)
def gemm(g):
    x = g.op("Flatten", g.op("GlobalAveragePool", g.conv("x", 3, 5)))
    x = g.op("Gemm", x, g.floats(6, 5), g.floats(6), transB=1)
    return g.op("Reshape", x, np.int64([1, 6, 1, 1]))


@case("matrix", channels=6)
def gemm_plain(g):
    x = g.op("Reshape", g.op("GlobalAveragePool", g.conv("x", 3, 5)), np.int64([1, -1]))
    x = g.op("Gemm", x, g.floats(5, 6))
    return g.op("Unsqueeze", x, np.int64([2, 3]))


@case("matrix", channels=6)
def matmul_after_squeeze(g):
    x = g.op("Squeeze", g.op("GlobalAveragePool", g.conv("x", 3, 5)), np.int64([2, 3]))
    x = g.op("MatMul", x, g.floats(5, 6))
    return g.op("Unsqueeze", x, np.int64([2, 3]))


# Blocks of networks.


@case("block", QDQ, channels=6)
def squeeze_and_excite(g):
    """MobileNetV3's: the gate is a hard sigmoid. (As operators on codes ONNX Runtime
    pools the hard swish before it is quantized, in float.)"""
    x = g.op("HardSwish", g.conv("x", 3, 6))
    s = g.op("GlobalAveragePool", x)
    s = g.op("Relu", g.conv(s, 6, 4))
    s = g.op("HardSigmoid", g.conv(s, 4, 6), alpha=1 / 6, beta=0.5)
    return g.op("Mul", x, s)


@case("block", channels=6)
def squeeze_and_excite_sigmoid(g):
    x = g.op("Relu", g.conv("x", 3, 6))
    s = g.op("Relu", g.conv(g.op("GlobalAveragePool", x), 6, 4))
    return g.op("Mul", x, g.op("Sigmoid", g.conv(s, 4, 6)))


@case("block", ("u8s8", "qop"), channels=6)
def squeeze_and_excite_linear(g):
    """The same with matrices, a mean and a sigmoid."""
    x = g.conv("x", 3, 6)
    s = g.op("ReduceMean", x, axes=[2, 3], keepdims=0)
    s = g.op("Relu", g.op("Gemm", s, g.floats(4, 6), g.floats(4), transB=1))
    s = g.op("Sigmoid", g.op("Gemm", s, g.floats(6, 4), g.floats(6), transB=1))
    return g.op("Mul", x, g.op("Reshape", s, np.int64([1, 6, 1, 1])))


@case("block", channels=4)
def image_pooling(g):
    """The head of an atrous pyramid: two branches and the pooled picture."""
    x = g.op("Relu", g.conv("x", 3, 6))
    p = g.op("Relu", g.conv(g.op("GlobalAveragePool", x), 6, 4))
    p = g.op("Resize", p, None, None, np.int64([1, 4, 7, 9]), mode="linear")
    a = g.op("Relu", g.conv(x, 6, 4))
    b = g.op("Relu", g.conv(x, 6, 4, 3, dilations=[2, 2], pads=[2, 2, 2, 2]))
    return g.conv(g.op("Concat", p, a, b, axis=1), 12, 4)


@case("block", channels=6)
def inverted_residual(g):
    x = g.conv("x", 3, 6)
    y = g.op("Relu", g.conv(x, 6, 10))
    y = g.op("Relu", g.conv(y, 10, 10, 3, group=10, pads=[1, 1, 1, 1]))
    y = g.op("Dropout", g.conv(y, 10, 6))
    return g.op("Identity", g.op("Add", x, y))


@case("block", QDQ, channels=4)
def batch_normalization(g):
    """Left unfolded behind a convolution."""
    x = g.conv("x", 3, 4)
    scale, shift, mean = g.floats(4, low=0.5), g.floats(4), g.floats(4)
    return g.op("BatchNormalization", x, scale, shift, mean, g.floats(4, low=0.5))


# As a converter from TFLite writes them.


def converted(group, size=(8, 10)):
    def register(build):
        CASES.append((group, build.__name__, ("tflite",), size, None, build))
        return build

    return register


@converted("conv")
def turned_convolutions(g):
    """Each in its own axes; the second behind a border of its own."""
    filters = g.weights("x", 6, 3, 3)
    real = g.turned("Conv", g.real("x"), *filters, strides=[2, 2], auto_pad="SAME_UPPER")
    real = g.op("Clip", real, np.float32(0), np.float32(6))
    x = g.codes(real, zero=0)
    filters = g.weights(x, 6, 1, 3)
    real = g.op("Pad", g.real(x), np.int64([0, 1, 1, 0, 0, 1, 1, 0]), np.float32(0))
    x = g.codes(g.turned("Conv", real, *filters, group=6))
    filters = g.weights(x, 4, 6, 1)
    return g.codes(g.turned("Conv", g.real(x), *filters))


@converted("block")
def turned_pyramid(g):
    """Sum, pooled picture, concatenation and resize with channels last."""
    filters = g.weights("x", 5, 3, 1)
    x = g.codes(g.turned("Conv", g.real("x"), *filters))
    filters = g.weights(x, 5, 5, 1)
    y = g.codes(g.turned("Conv", g.real(x), *filters))
    x = g.codes(g.op("Add", g.real(x), g.real(y)))
    mean = g.codes(g.op("ReduceMean", g.real(x), axes=[1, 2], keepdims=1))
    filters = g.weights(mean, 4, 5, 1)
    mean = g.codes(g.turned("Conv", g.real(mean), *filters))
    mean = g.op("Tile", g.real(mean), np.int64([1, *g.size, 1]))
    joined = g.codes(g.op("Concat", mean, g.real(x), axis=3))
    filters = g.weights(joined, 3, 9, 1)
    return g.codes(g.turned("Conv", g.real(joined), *filters))


@converted("resize", (5, 6))
def turned_resize(g):
    filters = g.weights("x", 5, 3, 1)
    x = g.codes(g.turned("Conv", g.real("x"), *filters))
    sizes = np.int64([1, 5, 9, 11])
    how = dict(mode="linear", coordinate_transformation_mode="align_corners")
    real = g.turned("Resize", g.real(x), None, None, sizes, **how)
    return g.codes(real, *g.quant[x])


# Probabilities: only the class is compared.


@case("softmax", channels=5)
def softmax(g):
    return g.op("Softmax", g.conv("x", 3, 5), axis=1)


@case("softmax", QDQ, channels=5)
def softmax_after_resize(g):
    x = g.conv("x", 3, 5, strides=[2, 2])
    x = g.op("Resize", x, None, None, np.int64([1, 5, 7, 9]), mode="linear")
    return g.op("Softmax", x, axis=1)


@case("softmax", QDQ, channels=5)
def log_softmax(g):
    return g.op("LogSoftmax", g.conv("x", 3, 5), axis=1)


def built(name, form, size, channels, build, folder, group):
    """The model of a case in one form."""
    if form == "tflite":
        graph = Converted(name, *size)
        codes = build(graph)
        return graph.model(graph.turned("MaxPool", codes, kernel_shape=[1, 1]))
    graph = Graph(name, *size)
    result = build(graph)
    graph.op("Conv", result, graph.floats(1, channels, 1, 1), name="tail")
    model = quantized(graph.model("tail_"), form, size, folder)
    return cut(model, form, size, group == "softmax")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernels", action="store_true", help="print which kernels ran")
    parser.add_argument("--only", default="", help="groups or cases whose name holds this")
    parser.add_argument("--out", default=pathlib.Path(__file__).parent / "ops", type=pathlib.Path)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    arguments.out.mkdir(exist_ok=True)
    groups = collections.defaultdict(dict)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for group, name, forms, size, channels, build in CASES:
            if arguments.only not in f"{group}/{name}":
                continue
            for form in forms:
                model = built(name, form, size, channels, build, folder, group)
                kernels = folder / "kernels.onnx" if arguments.kernels else None
                codes = picture(*size)
                output = run(model, codes, kernels)
                if kernels:
                    ran = [n.op_type for n in onnx.load(kernels).graph.node]
                    print(f"{name}.{form}:", " ".join(ran))
                stored = np.frombuffer(model.SerializeToString(), np.uint8)
                arrays = groups[group]
                arrays[f"input.{size[0]}x{size[1]}"] = codes
                arrays[f"{name}.{form}.model"] = stored
                arrays[f"{name}.{form}.output"] = output
    for group, arrays in groups.items():
        write(arguments.out / f"{group}.safetensors", arrays)
        print(f"{group}: {len(arrays) // 2} cases, {sum(a.size for a in arrays.values())} bytes")


if __name__ == "__main__":
    main()
