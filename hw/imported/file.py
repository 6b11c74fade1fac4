"""QONNX files read, with every quantizer as its exporter means it."""

from pathlib import Path
from typing import Any

import numpy as np

from common.errors import ModelFileError
from common.onnx_checks import check_network
from hw.imported.nodes import attributes
from hw.imported.origin import note_outputs

ROUNDING = {"ROUND_TO_ZERO": "DOWN"}
"""Brevitas's names of rounding modes that QONNX knows by others."""


def load(qonnx: Path) -> Any:
    """A QONNX file, tidied (a qonnx `ModelWrapper`); raises `ModelFileError`."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.util.cleanup import cleanup_model

    try:
        model = ModelWrapper(str(qonnx))
        check_network(model.model, qonnx.name)
        model = cleanup_model(note_outputs(model))
    except ModelFileError:
        raise
    except Exception as error:  # of the parser, the checker and qonnx, whose assertions are not typed
        raise ModelFileError(f"{qonnx}: not a QONNX network ({error!r:.200}); export it again") from error
    return _as_meant(model)


def _as_meant(model: Any) -> Any:
    """The network with every quantizer as its exporter means it.

    Brevitas exports a `QuantReLU` of one bit, whose values are 0 and its scale, as `BipolarQuant` behind
    `Relu`, which would always be its scale.
    """
    from onnx import helper

    for node in model.graph.node:
        given = attributes(node)
        if given.get("rounding_mode") in ROUNDING:
            _set(node, rounding_mode=ROUNDING[given["rounding_mode"]])
        before = model.find_producer(node.input[0]) if node.input else None
        if node.op_type == "BipolarQuant" and before is not None and before.op_type == "Relu":
            constants = []
            for role, value in (("zero", 0.0), ("bits", 1.0)):
                constants.append(f"{node.name}_{role}")
                model.set_initializer(constants[-1], np.array(value, np.float32))
            quant = helper.make_node(
                "Quant",
                [*node.input[:2], *constants],
                list(node.output),
                name=node.name,
                domain=node.domain,
                signed=0,
                narrow=0,
                rounding_mode="ROUND",
            )
            node.CopyFrom(quant)
    return model


def _set(node: Any, **values: Any) -> None:
    from onnx import helper

    kept = [each for each in node.attribute if each.name not in values]
    del node.attribute[:]
    node.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in values.items())])
