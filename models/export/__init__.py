"""ONNX files of an integer network, written node by node: the same network gives the same bytes.

Three forms: `golden_model` (integers only) and `student_model` (QCDQ) in standard operators for onnxruntime,
and `qonnx_model` in QONNX's operators for FINN (arXiv:2206.07527 describes QCDQ and QONNX).
"""

from models.export.files import load_checked, save_model
from models.export.golden import golden_model
from models.export.qcdq import student_model
from models.export.qonnx import qonnx_model
from models.export.tree import golden_tree_model, student_tree_model

__all__ = [
    "golden_model",
    "golden_tree_model",
    "load_checked",
    "qonnx_model",
    "save_model",
    "student_model",
    "student_tree_model",
]
