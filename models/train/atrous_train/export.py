"""Writes a trained network as ONNX, with its manifest.

    python -m atrous_train.export CHECKPOINT --out DIR [--check FOLDER]

The graph has batch norm folded into the convolutions and stops at the
decoder's stride: the runtime upsamples the logits and takes the best class in
one pass.  Kernels are stored as float16 followed by a Cast, which every runtime
folds at load time; biases stay float32.  The same checkpoint gives the same
bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import os

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from . import checkpoint
from .arch import INPUT_HEIGHT, INPUT_WIDTH, LOW_LEVEL_BLOCK, RoadNet
from .data import CLASS_COLOURS, CLASS_NAMES

OPSET = 13
IR_VERSION = 8
STRIDE = 4
OUTPUT_HEIGHT = (INPUT_HEIGHT - 1) // STRIDE + 1
OUTPUT_WIDTH = (INPUT_WIDTH - 1) // STRIDE + 1

MODEL_FILE = "road.onnx"
LICENCE = "CC-BY-NC-4.0"
LICENCE_NOTE = "trained on CamVid (CC BY-NC 4.0): non-commercial use only"
DESCRIPTION = (
    "Road scenes, eleven CamVid classes: DeepLab v3+ with a MobileNetV2 1.0 backbone, "
    "output stride 16"
)
PROVENANCE = (
    "Start weights: DeepLab v3 MobileNetV2 trained on PASCAL VOC by Google (Apache-2.0), "
    "dequantized. Data: CamVid train split (367 pictures, 480x360, CC BY-NC 4.0) and road scenes "
    "rendered by this repository's render_scenes example. Command: models/train/train.sh"
)


def load_network(path):
    """The network of a checkpoint, ready for inference."""
    net = RoadNet()
    net.load_state_dict(checkpoint.load(path)["net"])
    return net.eval()


def folded(layer):
    """Kernel and bias (float32 arrays) of a ConvNorm, computed in float64."""
    norm = layer.norm
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    kernel = layer.conv.weight.double() * scale.reshape(-1, 1, 1, 1)
    bias = norm.bias.double() - norm.running_mean.double() * scale
    return kernel.detach().float().numpy(), bias.detach().float().numpy()


class GraphBuilder:
    """Collects nodes and constants; every method returns the name of its result."""

    def __init__(self):
        self.nodes = []
        self.constants = []
        self.names = set()

    def node(self, kind, inputs, name, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name, array):
        """A named initializer; asking twice for the same name gives the first one."""
        if name not in self.names:
            self.names.add(name)
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def kernel(self, name, array):
        """A float16 initializer and its Cast to float32."""
        half = array.astype(np.float16)
        if not np.isfinite(half).all():
            raise SystemExit(f"{name}: a weight does not fit into float16")
        stored = self.constant(f"{name}/half", half)
        return self.node("Cast", [stored], name, to=TensorProto.FLOAT)

    def convolution(self, x, name, conv, kernel, bias):
        pads = [conv.padding[0], conv.padding[1]] * 2
        inputs = [x, self.kernel(f"{name}/kernel", kernel), self.constant(f"{name}/bias", bias)]
        return self.node(
            "Conv", inputs, f"{name}/conv", kernel_shape=list(conv.kernel_size),
            strides=list(conv.stride), dilations=list(conv.dilation), group=conv.groups, pads=pads,
        )

    def conv_norm(self, x, name, layer):
        """A ConvNorm as Conv and its activation."""
        x = self.convolution(x, name, layer.conv, *folded(layer))
        if layer.activation == "relu6":
            low = self.constant("zero", np.float32(0))
            high = self.constant("six", np.float32(6))
            return self.node("Clip", [x, low, high], f"{name}/relu6")
        if layer.activation == "relu":
            return self.node("Relu", [x], f"{name}/relu")
        return x

    def separable(self, x, name, layer):
        x = self.conv_norm(x, f"{name}/depthwise", layer.depthwise)
        return self.conv_norm(x, f"{name}/pointwise", layer.pointwise)

    def inverted_residual(self, x, name, block):
        y = x if block.expand is None else self.conv_norm(x, f"{name}/expand", block.expand)
        y = self.conv_norm(y, f"{name}/depthwise", block.depthwise)
        y = self.conv_norm(y, f"{name}/project", block.project)
        return self.node("Add", [x, y], f"{name}/add") if block.residual else y

    def resize(self, x, name, shape):
        sizes = self.constant(f"{name}/sizes", np.array(shape, np.int64))
        return self.node(
            "Resize", [x, "", "", sizes], name, mode="linear",
            coordinate_transformation_mode="align_corners",
        )


def halved(size):
    """Size after a stride of two with 'same' padding."""
    return (size + 1) // 2


def build_model(net):
    """The ONNX model of a network in inference mode."""
    graph = GraphBuilder()
    coarse = (OUTPUT_HEIGHT, OUTPUT_WIDTH)
    deep = tuple(halved(halved(size)) for size in coarse)
    x = graph.conv_norm("input", "stem", net.stem)
    low = None
    for index, block in enumerate(net.blocks):
        x = graph.inverted_residual(x, f"block{index:02}", block)
        if index == LOW_LEVEL_BLOCK:
            low = x
    branches = [graph.conv_norm(x, "aspp/point", net.aspp0)]
    for index, branch in enumerate(net.aspp):
        branches.append(graph.separable(x, f"aspp/rate{branch.depthwise.conv.dilation[0]}", branch))
    pooled = graph.node("GlobalAveragePool", [x], "aspp/pool/mean")
    pooled = graph.conv_norm(pooled, "aspp/pool", net.pool)
    branches.append(graph.resize(pooled, "aspp/pool/spread", (1, net.pool.conv.out_channels, *deep)))
    x = graph.node("Concat", branches, "aspp/concat", axis=1)
    x = graph.conv_norm(x, "aspp/project", net.project)
    x = graph.resize(x, "decoder/upsample", (1, net.project.conv.out_channels, *coarse))
    low = graph.conv_norm(low, "decoder/low", net.low)
    x = graph.node("Concat", [x, low], "decoder/concat", axis=1)
    for index, block in enumerate(net.decoder):
        x = graph.separable(x, f"decoder/refine{index}", block)
    head = net.classifier
    kernel, bias = head.weight.detach().numpy(), head.bias.detach().numpy()
    graph.convolution(x, "classifier", head, kernel, bias)
    graph.nodes[-1].output[0] = "logits"
    return finish(graph, len(CLASS_NAMES))


def finish(graph, classes):
    """Wraps nodes and constants into a checked model."""
    entry = helper.make_tensor_value_info(
        "input", TensorProto.FLOAT, [1, 3, INPUT_HEIGHT, INPUT_WIDTH]
    )
    result = helper.make_tensor_value_info(
        "logits", TensorProto.FLOAT, [1, classes, OUTPUT_HEIGHT, OUTPUT_WIDTH]
    )
    body = helper.make_graph(graph.nodes, "road", [entry], [result], graph.constants)
    model = helper.make_model(
        body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
        producer_name="atrous-train", doc_string=DESCRIPTION,
    )
    helper.set_model_props(model, {"licence": LICENCE, "classes": ",".join(CLASS_NAMES)})
    onnx.checker.check_model(model, full_check=True)
    return model


def manifest(digest, version, provenance=PROVENANCE):
    """Text of model.toml."""
    lines = [
        "format = 1",
        'name = "road"',
        f'version = "{version}"',
        f'description = "{DESCRIPTION}"',
        f'file = "{MODEL_FILE}"',
        f'sha256 = "{digest}"',
        f'licence = "{LICENCE}"',
        f'licence_note = "{LICENCE_NOTE}"',
        f'provenance = "{provenance}"',
        "",
        "[input]",
        f"width = {INPUT_WIDTH}",
        f"height = {INPUT_HEIGHT}",
        'layout = "nchw"',
        'dtype = "f32"',
        'channels = "rgb"',
        "mean = [127.5, 127.5, 127.5]",
        "std = [127.5, 127.5, 127.5]",
        'fit = "stretch"',
        "",
        "[output]",
        'kind = "logits"',
        'layout = "nchw"',
        'upsample = "align_corners"',
        "ignore_index = 255",
    ]
    for name, colour in zip(CLASS_NAMES, CLASS_COLOURS):
        lines += ["", "[[class]]", f'name = "{name}"', f"colour = {list(colour)}"]
    return "\n".join(lines) + "\n"


def write_whole(path, data):
    """Writes bytes under another name, then renames."""
    with open(path + ".partial", "wb") as file:
        file.write(data)
    os.replace(path + ".partial", path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--out", required=True, help="folder for road.onnx and model.toml")
    parser.add_argument("--version", default="0.1.0")
    parser.add_argument("--check", help="compare with PyTorch on pictures of this data folder")
    parser.add_argument("--count", type=int, default=5, help="pictures to compare on")
    args = parser.parse_args()
    torch.set_num_threads(1)
    net = load_network(args.checkpoint)
    data = build_model(net).SerializeToString(deterministic=True)
    digest = hashlib.sha256(data).hexdigest()
    os.makedirs(args.out, exist_ok=True)
    write_whole(os.path.join(args.out, MODEL_FILE), data)
    write_whole(os.path.join(args.out, "model.toml"), manifest(digest, args.version).encode())
    print(f"{MODEL_FILE}: {len(data)} bytes, sha256 {digest}")
    if args.check:
        from .evaluate import compare

        compare(net, os.path.join(args.out, MODEL_FILE), args.check, args.count)


if __name__ == "__main__":
    main()
