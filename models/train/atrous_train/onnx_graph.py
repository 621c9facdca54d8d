"""A network as an ONNX graph with batch norm folded into the convolutions.

The network is traced (torch.fx) and run once on zeros, node by node, so that every resize has a
fixed size.  Layers become one or two ONNX nodes each; the names are the modules'.
"""

from __future__ import annotations

import operator

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import fx, nn
from torch.nn import functional as F

from .family.layers import Conv, Pool, Up, biggest, crop, scaled
from .layers import BiasedConv, ConvNorm, GlobalMean, upsample

OPSET = 13
IR_VERSION = 8
LEAVES = (ConvNorm, BiasedConv, GlobalMean, Conv, Up, Pool, nn.Conv2d, nn.Dropout)


class Tracer(fx.Tracer):
    """Keeps the layers of `LEAVES` whole."""

    def is_leaf_module(self, module, name):
        return isinstance(module, LEAVES)


def folded(layer):
    """Kernel and bias (float32 arrays) of a ConvNorm, computed in float64."""
    norm = layer.norm
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    kernel = layer.conv.weight.double() * scale.reshape(-1, 1, 1, 1)
    bias = norm.bias.double() - norm.running_mean.double() * scale
    return kernel.detach().float().numpy(), bias.detach().float().numpy()


class GraphBuilder:
    """Collects nodes and constants; every method returns the name of its result."""

    def __init__(self, half):
        self.half = half
        self.nodes = []
        self.constants = []
        self.names = set()
        self.uses = {}  # of a node's name

    def node(self, kind, inputs, name, **attributes):
        """A layer that is used again gets names with a number."""
        self.uses[name] = self.uses.get(name, 0) + 1
        if self.uses[name] > 1:
            name = f"{name}/{self.uses[name]}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name, array):
        """A named initializer; asking twice for the same name gives the first one."""
        if name not in self.names:
            self.names.add(name)
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def kernel(self, name, array):
        """A float32 initializer, or a float16 one and its Cast."""
        if not self.half:
            return self.constant(name, array)
        if name in self.uses:
            return name
        stored = array.astype(np.float16)
        if not np.isfinite(stored).all():
            raise SystemExit(f"{name}: a weight does not fit into float16")
        return self.node("Cast", [self.constant(f"{name}/half", stored)], name, to=TensorProto.FLOAT)

    def convolution(self, x, name, conv, kernel, bias):
        pads = [conv.padding[0], conv.padding[1]] * 2
        inputs = [x, self.kernel(f"{name}/kernel", kernel), self.constant(f"{name}/bias", bias)]
        return self.node(
            "Conv", inputs, f"{name}/conv", kernel_shape=list(conv.kernel_size),
            strides=list(conv.stride), dilations=list(conv.dilation), group=conv.groups, pads=pads,
        )

    def plain_convolution(self, x, name, conv):
        kernel, bias = conv.weight.detach().numpy(), conv.bias.detach().numpy()
        return self.convolution(x, name, conv, kernel, bias)

    def transposed_convolution(self, x, name, conv):
        inputs = [x, self.kernel(f"{name}/kernel", conv.weight.detach().numpy())]
        if conv.bias is not None:
            inputs.append(self.constant(f"{name}/bias", conv.bias.detach().numpy()))
        return self.node(
            "ConvTranspose", inputs, f"{name}/up", kernel_shape=list(conv.kernel_size),
            strides=list(conv.stride), pads=[conv.padding[0], conv.padding[1]] * 2,
        )

    def max_pool(self, x, name, pool):
        return self.node(
            "MaxPool", [x], f"{name}/pool", kernel_shape=[pool.kernel_size] * 2,
            strides=[pool.stride] * 2, pads=[pool.padding] * 4, ceil_mode=int(pool.ceil_mode),
        )

    def cut(self, x, name, shape, top, left):
        """Rows from `top` and columns from `left` of this shape."""
        def ints(what, values):
            return self.constant(f"{name}/{what}", np.array(values, np.int64))

        ends = ints("ends", [top + shape[2], left + shape[3]])
        return self.node("Slice", [x, ints("starts", [top, left]), ends, ints("axes", [2, 3])], name)

    def activation(self, x, name, kind):
        if kind is None:
            return x
        if kind == "relu":
            return self.node("Relu", [x], f"{name}/relu")
        if kind == "relu6":
            low, high = self.constant("zero", np.float32(0)), self.constant("six", np.float32(6))
            return self.node("Clip", [x, low, high], f"{name}/relu6")
        gate = self.node("HardSigmoid", [x], f"{name}/hsigmoid", alpha=1 / 6, beta=0.5)
        return gate if kind == "hsigmoid" else self.node("Mul", [x, gate], f"{name}/hswish")

    def resize(self, x, name, shape):
        sizes = self.constant(f"{name}/sizes", np.array(shape, np.int64))
        return self.node(
            "Resize", [x, "", "", sizes], name, mode="linear",
            coordinate_transformation_mode="align_corners",
        )

    def layer(self, x, name, module):
        """The nodes of one of `LEAVES`."""
        if isinstance(module, ConvNorm):
            y = self.convolution(x, name, module.conv, *folded(module))
            return self.activation(y, name, module.activation)
        if isinstance(module, (BiasedConv, Conv)):
            y = self.plain_convolution(x, name, module.conv)
            return self.activation(y, name, module.activation)
        if isinstance(module, Up):
            return self.transposed_convolution(x, name, module.conv)
        if isinstance(module, Pool):
            return self.max_pool(x, name, module.pool)
        if isinstance(module, GlobalMean):
            return self.node("GlobalAveragePool", [x], name)
        if isinstance(module, nn.Dropout):
            return x
        return self.plain_convolution(x, name, module)


class Exporter(fx.Interpreter):
    """Runs a traced network and adds each node to `builder`."""

    def __init__(self, traced, builder):
        super().__init__(traced, garbage_collect_values=False)
        self.builder = builder
        self.results = {}  # fx node -> ONNX name
        self.shapes = {}  # fx node -> shape of its result

    def run_node(self, n):
        value = super().run_node(n)
        self.shapes[n] = getattr(value, "shape", None)
        name = self.emit(n, value)
        if name is not None:
            self.results[n] = name
        return value

    def emit(self, n, value):
        inputs = [self.results[i] for i in n.all_input_nodes if i in self.results]
        if n.op == "placeholder":
            return "input"
        if n.op == "call_module":
            return self.builder.layer(inputs[0], n.target.replace(".", "/"), self.module.get_submodule(n.target))
        if not isinstance(value, torch.Tensor) or n.op == "output":
            return None  # sizes, and the tuple that a backbone returns
        if n.target is operator.getitem:
            return inputs[0]
        name = n.name
        if n.target in (upsample, scaled):
            if value.shape == self.shapes[n.all_input_nodes[0]]:
                return inputs[0]
            return self.builder.resize(inputs[0], name, value.shape)
        if n.target is crop:
            whole = self.shapes[n.all_input_nodes[0]]
            given = [self.env.get(a, a) if isinstance(a, fx.Node) else a for a in n.args[2:]]
            middle = [(whole[2] - value.shape[2]) // 2, (whole[3] - value.shape[3]) // 2]
            return self.builder.cut(inputs[0], name, value.shape, *(given or middle))
        if n.target is biggest:
            return self.builder.node("Max", inputs, name)
        if n.target is F.relu:
            return self.builder.node("Relu", inputs, name)
        if n.target is torch.cat:
            return self.builder.node("Concat", inputs, name, axis=1)
        if n.target in (operator.add, operator.mul):
            return self.builder.node("Add" if n.target is operator.add else "Mul", inputs, name)
        raise SystemExit(f"{n.name}: no ONNX form of {n.target}")


def build_model(net, task, half=True):
    """The checked ONNX model of a network in inference mode."""
    net = net.cpu().eval()
    width, height = task.size
    builder = GraphBuilder(half)
    traced = fx.GraphModule(net, Tracer().trace(net))
    with torch.no_grad():
        logits = Exporter(traced, builder).run(torch.zeros(1, 3, height, width))
    builder.nodes[-1].output[0] = "logits"
    entry = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, height, width])
    result = helper.make_tensor_value_info("logits", TensorProto.FLOAT, list(logits.shape))
    body = helper.make_graph(builder.nodes, task.name, [entry], [result], builder.constants)
    model = helper.make_model(
        body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
        producer_name="atrous-train", doc_string=task.title,
    )
    classes = ",".join(name for name, _ in task.classes)
    helper.set_model_props(model, {"licence": task.licence, "classes": classes})
    onnx.checker.check_model(model, full_check=True)
    return model
