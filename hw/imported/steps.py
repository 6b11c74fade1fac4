"""Elementwise nodes of a network as functions of one value a channel, in the network's own float32.

A chain of them between integers and a quantizer becomes integer thresholds, so each must be monotone. All
take and give float32 arrays whose last axis is the channels, and compute node by node as the network does.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.errors import LoweringError
from hw.imported import quantizers
from hw.imported.quantizers import Floats, Quantizer


@dataclass(frozen=True, eq=False)
class Step:
    """An elementwise node.

    Attributes:
        node: its name and operator, for messages.
        apply: what it computes.
        affine: factor and term, where it computes `factor * x + term`.
        quantizer: where it is one.
        gives: the tensor that the node gives.
    """

    node: str
    apply: Callable[[Floats], Floats]
    affine: tuple[Floats, Floats] | None = None
    quantizer: Quantizer | None = None
    gives: str = ""


@dataclass(frozen=True)
class Operands:
    """What an elementwise node takes beside its tensor.

    Attributes:
        node: its name and operator.
        constants: by place among its inputs, one number or one for each channel, float32.
        first: the place of the tensor.
        options: its attributes.
    """

    node: str
    constants: Mapping[int, Floats]
    first: int
    options: Mapping[str, Any]

    def number(self, place: int, default: float | None = None) -> float:
        """One number; raises `LoweringError` where there is one for each channel, or none."""
        found = self.constants.get(place)
        if found is None and default is not None:
            return default
        if found is None or found.size != 1:
            raise LoweringError(f"{self.node}: input {place} is not one number; export it so")
        return float(found.reshape(-1)[0])

    def scale(self, place: int) -> Floats:
        """Scales of a quantizer; raises `LoweringError` where one is not positive."""
        found = self.constants[place]
        if not (np.isfinite(found) & (found > 0)).all():
            raise LoweringError(f"{self.node}: a scale that is no positive number; train and export it again")
        return found


Steps = tuple[Step, ...]
Maker = Callable[[Operands], Steps]


def scaled(node: str, factor: Any) -> Step:
    """`factor * x`."""
    number = np.asarray(factor, np.float32)
    return Step(node, lambda x: x * number, (number, np.float32(0) * number))


def shifted(node: str, term: Any) -> Step:
    """`x + term`."""
    number = np.asarray(term, np.float32)
    return Step(node, lambda x: x + number, (np.ones_like(number), number))


def quantized(node: str, quantizer: Quantizer) -> Step:
    """A quantizer."""
    return Step(node, quantizer.values, quantizer=quantizer)


def _other(given: Operands) -> Floats:
    return given.constants[1 - given.first]


def _subtraction(given: Operands) -> Steps:
    if given.first == 0:
        return (shifted(given.node, -_other(given)),)
    return scaled(given.node, -1.0), shifted(given.node, _other(given))


def _division(given: Operands) -> Steps:
    if given.first:
        raise LoweringError(f"{given.node}: divides by a tensor; Retort's hardware has no layer for it")
    number = _other(given)
    return (Step(given.node, lambda x: x / number, (np.float32(1) / number, np.float32(0) * number)),)


def _batch_norm(given: Operands) -> Steps:
    weight, bias, mean, variance = (given.constants[place] for place in (1, 2, 3, 4))
    factor = weight / np.sqrt(variance + np.float32(given.options.get("epsilon", 1e-5)))
    return scaled(given.node, factor), shifted(given.node, bias - mean * factor)


def _clip(given: Operands) -> Steps:
    bounds = [given.options.get("min", -np.inf), given.options.get("max", np.inf)]
    low, high = (np.float32(given.number(place, bound)) for place, bound in zip((1, 2), bounds, strict=True))
    return (Step(given.node, lambda x: np.clip(x, low, high)),)


def _leaky(given: Operands) -> Steps:
    slope = given.constants[1] if 1 in given.constants else np.float32(given.options.get("alpha", 0.01))
    if np.min(slope) < 0:
        raise LoweringError(f"{given.node}: has a negative slope; Retort's hardware has no layer for it")
    return (Step(given.node, lambda x: np.where(x < 0, x * slope, x)),)


def _hard_sigmoid(given: Operands) -> Steps:
    alpha, beta = (
        np.float32(given.options.get(name, value)) for name, value in (("alpha", 0.2), ("beta", 0.5))
    )
    return (Step(given.node, lambda x: np.clip(alpha * x + beta, np.float32(0), np.float32(1))),)


def _elu(given: Operands) -> Steps:
    selu = given.node.endswith("(Selu)")
    alpha = np.float32(given.options.get("alpha", 1.6732632 if selu else 1.0))
    gamma = np.float32(given.options.get("gamma", 1.050701 if selu else 1.0))
    if alpha < 0:
        raise LoweringError(f"{given.node}: falls and rises; Retort's hardware has no layer for it")
    return (Step(given.node, lambda x: gamma * np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x)),)


def _simple(apply: Callable[[Floats], Floats]) -> Maker:
    return lambda given: (Step(given.node, apply),)


def _quant(given: Operands) -> Steps:
    scale, zero, bits = given.scale(1), given.number(2), given.number(3)
    options = given.options
    made = quantizers.integer_quantizer(
        given.node,
        scale,
        zero,
        bits,
        signed=bool(options.get("signed", 1)),
        narrow=bool(options.get("narrow", 0)),
        mode=options.get("rounding_mode", "ROUND"),
    )
    return (quantized(given.node, made),)


def _bipolar(given: Operands) -> Steps:
    return (quantized(given.node, quantizers.bipolar_quantizer(given.scale(1))),)


def _trunc(given: Operands) -> Steps:
    from qonnx.custom_op.general.quant import max_int, min_int

    scale, zero, bits = given.scale(1), given.number(2), given.number(3)
    mode = given.options.get("rounding_mode", "FLOOR")
    if 5 in given.constants:  # the operator's second version names scale and width of what it gives
        signed, narrow = (
            bool(given.options.get(name, int(name == "signed"))) for name in ("signed", "narrow")
        )
        step = 2.0 ** round(float(np.log2(given.number(4) / scale.reshape(-1)[0])))
        width = int(given.number(5))
        low, high = (float(bound(signed, narrow, width)) for bound in (min_int, max_int))
    else:
        step = 2.0 ** (bits - given.number(4))
        width = int(given.number(4))
        low, high = -float(2 ** (width - 1)), float(2**width - 1)  # it does not say whether it is signed
    return (quantized(given.node, quantizers.truncation(given.node, scale, zero, step, low, high, mode)),)


def _multi_threshold(given: Operands) -> Steps:
    options = given.options
    made = quantizers.multi_threshold(
        given.node,
        given.constants[1],
        float(options.get("out_scale", 1.0)),
        float(options.get("out_bias", 0.0)),
        bipolar=options.get("out_dtype") == "BIPOLAR",
    )
    return (quantized(given.node, made),)


MAKERS: Mapping[str, Maker] = {
    "Identity": lambda given: (),
    "Dropout": lambda given: (),
    "Cast": lambda given: (),
    "Mul": lambda given: (scaled(given.node, _other(given)),),
    "Add": lambda given: (shifted(given.node, _other(given)),),
    "Sub": _subtraction,
    "Div": _division,
    "Neg": lambda given: (scaled(given.node, -1.0),),
    "BatchNormalization": _batch_norm,
    "Relu": _simple(lambda x: np.maximum(x, np.float32(0))),
    "Clip": _clip,
    "LeakyRelu": _leaky,
    "PRelu": _leaky,
    "Sigmoid": _simple(lambda x: np.float32(1) / (np.float32(1) + np.exp(-x))),
    "HardSigmoid": _hard_sigmoid,
    "Tanh": _simple(np.tanh),
    "Elu": _elu,
    "Selu": _elu,
    "Quant": _quant,
    "IntQuant": _quant,
    "BipolarQuant": _bipolar,
    "Trunc": _trunc,
    "MultiThreshold": _multi_threshold,
}
"""By operator, monotone ones only: its steps."""
