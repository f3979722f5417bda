"""Builds the ONNX graph of a BERT-like classifier from its weights, in int8 or float32, without torch.

Tokens of all texts lie one after another, so that nothing is padded but the attention, and that only up to a length
that a text's own tokens decide. Activations are quantised token by token: integer products are exact, so a text's
scores do not depend on what else is in the run.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from chat_moderator.classifiers.transformers_shape import EncoderShape, Head

Floats = NDArray[np.float32]
Weights = Callable[[str], Floats]
"""A tensor by its name."""

OPSET: Final = 21
IR_VERSION: Final = 10

_MIDDLE: Final = 128
"""The unsigned byte that stands for 0 in activations."""
_ACTIVATION: Final = 127
_WEIGHT: Final = 64
"""Largest weight: without VNNI, processors add two products of bytes in 16 bits, and 2 * 255 * 64 still fits."""
_SMALLEST: Final = 1e-12

_OURS: Final = "com.microsoft"
_INPUTS: Final = (
    ("ids", TensorProto.INT64, ["tokens"]),
    ("places", TensorProto.INT64, ["tokens"]),
    ("spread", TensorProto.INT64, ["texts", "longest"]),
    ("gather", TensorProto.INT64, ["tokens"]),
    ("mask", TensorProto.FLOAT, ["texts", 1, 1, "longest"]),
    ("first", TensorProto.INT64, ["texts"]),
)


def build(shape: EncoderShape, weights: Weights, *, int8: bool) -> ModelProto:
    """The graph of a whole classifier.

    Inputs, for T tokens of B texts, of which none has more than L: `ids` and `places` (T), which are a token's id and
    position; `spread` (B, L), the token at each place of a text, anything where it has none; `gather` (T), where each
    token went in B * L; `mask` (B, 1, 1, L), 0 where there is a token and very negative elsewhere; `first` (B), the
    first token of each text. Output: `logits` (B, labels).

    Raises:
        KeyError: a tensor is missing.
        ValueError: tensors do not fit together.
    """
    graph = _Graph(weights, int8=int8)
    state = _embedded(graph, shape)
    for layer in range(shape.layers):
        state = _layer(graph, shape, state, layer)
    _classified(graph, shape.head, state)
    return graph.model()


class _Graph:
    def __init__(self, weights: Weights, *, int8: bool) -> None:
        self.weights = weights
        self.int8 = int8
        self._nodes: list[NodeProto] = []
        self._constants: dict[str, TensorProto] = {}

    def node(self, kind: str, *inputs: str, domain: str = "", outputs: int = 1, **attributes: Any) -> str:
        """Adds a node; the name of its first output, the others have `.1` and so on behind it."""
        name = f"{kind.lower()}_{len(self._nodes)}"
        names = [name, *(f"{name}.{index}" for index in range(1, outputs))]
        self._nodes.append(helper.make_node(kind, inputs, names, name=name, domain=domain, **attributes))
        return name

    def constant(self, name: str, array: NDArray[np.generic] | Sequence[int]) -> str:
        self._constants[name] = numpy_helper.from_array(np.asarray(array), name)
        return name

    def number(self, value: float) -> str:
        return self.constant(f"number_{value!r}", np.asarray(value, np.float32))

    def weight(self, name: str) -> str:
        return self.constant(name, self.weights(name))

    def rows(self, values: str) -> tuple[str, ...]:
        """What `product` takes: the rows themselves, or bytes with a scale each."""
        if not self.int8:
            return (values,)
        axis = self.constant("axis_1", [1])
        highest = self.node("ReduceMax", self.node("Abs", values), axis, keepdims=0)
        highest = self.node("Max", highest, self.number(_SMALLEST))
        scale = self.node("Div", highest, self.number(_ACTIVATION))
        zeros = helper.make_tensor("value", TensorProto.UINT8, [1], [_MIDDLE])
        middle = self.node("ConstantOfShape", self.node("Shape", scale), value=zeros)
        return self.node("QuantizeLinear", values, scale, middle, axis=0), self.node("Unsqueeze", scale, axis)

    def product(self, rows: tuple[str, ...], *names: str) -> str:
        """Rows times the weights (out, in) of dense layers, side by side."""
        weight = np.concatenate([self.weights(f"{name}.weight") for name in names])
        stored = f"{names[0]}.weight"
        if not self.int8:
            return self.node("MatMul", rows[0], self.constant(stored, np.ascontiguousarray(weight.T)))
        values, scales = rows
        scale = (np.maximum(np.abs(weight).max(axis=1), _SMALLEST) / _WEIGHT).astype(np.float32)
        quantised = np.rint(weight / scale[:, None]).astype(np.int8)
        found = self.node(
            "MatMulIntegerToFloat",
            values,
            self.constant(stored, np.ascontiguousarray(quantised.T)),
            self.number(1.0),
            self.constant(f"{names[0]}.scale", scale),
            self.constant("middle", np.asarray(_MIDDLE, np.uint8)),
            domain=_OURS,
        )
        return self.node("Mul", found, scales)

    def dense(self, rows: tuple[str, ...], *names: str) -> str:
        """Dense layers side by side, their biases added."""
        bias = np.concatenate([self.weights(f"{name}.bias") for name in names])
        return self.node("Add", self.product(rows, *names), self.constant(f"{names[0]}.bias", bias))

    def exact(self, values: str, name: str) -> str:
        """A dense layer in float32."""
        weight = self.constant(f"{name}.weight", np.ascontiguousarray(self.weights(f"{name}.weight").T))
        return self.node("Add", self.node("MatMul", values, weight), self.weight(f"{name}.bias"))

    def model(self) -> ModelProto:
        """All of it; the output of the last node is the answer."""
        graph = helper.make_graph(
            [*self._nodes, helper.make_node("Identity", self._nodes[-1].output, ["logits"], name="logits")],
            "classifier",
            [helper.make_tensor_value_info(*each) for each in _INPUTS],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["texts", "labels"])],
            list(self._constants.values()),
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(_OURS, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def _embedded(graph: _Graph, shape: EncoderShape) -> str:
    names = shape.names
    table = graph.weights(names["words"])
    words = graph.node("Gather", graph.constant("words", table.astype(np.float16) if graph.int8 else table), "ids")
    if graph.int8:
        words = graph.node("Cast", words, to=TensorProto.FLOAT)
    positions = graph.weights(names["positions"])
    if names["types"]:
        positions = positions + graph.weights(names["types"])[0]
    summed = graph.node("Add", words, graph.node("Gather", graph.constant("positions", positions), "places"))
    norm = (graph.weight(f"{names['norm']}.weight"), graph.weight(f"{names['norm']}.bias"))
    state = graph.node("LayerNormalization", summed, *norm, axis=-1, epsilon=shape.epsilon)
    return graph.dense(graph.rows(state), names["project"]) if names["project"] else state


def _layer(graph: _Graph, shape: EncoderShape, state: str, layer: int) -> str:
    """One layer. In the last one only the first token of each text is worked on: nothing else is read from it."""
    names = {role: name.format(layer) for role, name in shape.names.items()}
    size = shape.width // shape.heads
    heads = graph.constant("heads", [0, 0, -1, size])
    rows = graph.rows(state)

    def by_head(values: str) -> str:
        """(texts, heads of all that is side by side, places, size)."""
        return graph.node("Transpose", graph.node("Reshape", values, heads), perm=[0, 2, 1, 3])

    last = layer == shape.layers - 1
    if last:
        state = graph.node("Gather", state, "first")
        first = tuple(graph.node("Gather", each, "first") for each in rows)
        query = by_head(graph.node("Unsqueeze", graph.dense(first, names["query"]), graph.constant("axis_1", [1])))
        others = by_head(graph.node("Gather", graph.dense(rows, names["key"], names["value"]), "spread"))
        key = graph.node("Split", others, axis=1, num_outputs=2, outputs=2)
        value = f"{key}.1"
    else:
        projected = graph.dense(rows, names["query"], names["key"], names["value"])
        query = graph.node(
            "Split", by_head(graph.node("Gather", projected, "spread")), axis=1, num_outputs=3, outputs=3
        )
        key, value = f"{query}.1", f"{query}.2"
    attention = graph.node("FusedMatMul", query, key, domain=_OURS, transB=1, alpha=size**-0.5)
    attention = graph.node("Softmax", graph.node("Add", attention, "mask"), axis=-1)
    read = graph.node("Transpose", graph.node("MatMul", attention, value), perm=[0, 2, 1, 3])
    read = graph.node("Reshape", read, graph.constant("flat", [-1, shape.width]))
    if not last:
        read = graph.node("Gather", read, "gather")
    state = _added(graph, shape, names["joined"], names["joined_norm"], (read, state))
    inner = graph.product(graph.rows(state), names["up"])
    inner = _activated(graph, shape.activation, inner, graph.weight(f"{names['up']}.bias"))
    return _added(graph, shape, names["down"], names["down_norm"], (inner, state))


def _added(graph: _Graph, shape: EncoderShape, dense: str, norm: str, values: tuple[str, str]) -> str:
    """The first of `values` through a dense layer, added to the second, normalised."""
    return graph.node(
        "SkipLayerNormalization",
        graph.product(graph.rows(values[0]), dense),
        values[1],
        *(graph.weight(name) for name in (f"{norm}.weight", f"{norm}.bias", f"{dense}.bias")),
        domain=_OURS,
        epsilon=shape.epsilon,
    )


def _activated(graph: _Graph, activation: str, values: str, bias: str) -> str:
    if activation == "gelu":
        return graph.node("BiasGelu", values, bias, domain=_OURS)
    summed = graph.node("Add", values, bias)
    return graph.node("Relu", summed) if activation == "relu" else graph.node("Gelu", summed, approximate="tanh")


def _classified(graph: _Graph, head: Head, state: str) -> None:
    """The head, in float32: it is small, and the last step should not be a rough one."""
    graph.exact(graph.node(head.activation, graph.exact(state, head.dense)), head.out)
