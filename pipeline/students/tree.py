"""Student kind `tree`: a decision tree, fitted to the teacher's soft targets (arXiv:1812.10924).

Its core gives labels. It has no layers, so that neither FINN nor sizing by folds applies.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.config.build import Build
from pipeline.config.student import TreeStudent
from pipeline.engine.stage import Facts, Stage, StageContext
from pipeline.students.base import StudentKind, describe

if TYPE_CHECKING:
    from pipeline.ladder.climbing import Ladder


class Tree(StudentKind):
    """A decision tree."""

    evidence = ("distill", "export")
    tools = ("onnxruntime",)

    def stages(self, build: Build) -> tuple[Stage, ...]:  # noqa: D102
        asked = build.student_as(TreeStudent)
        return (
            Stage(
                name="distill",
                version=1,
                inputs=("data", "teacher"),
                config=lambda _: [asked.model_dump(mode="json"), build.table("task")],
                tools=("scikit-learn",),
                run=distill,
                outputs=("tree.json", "tree.txt", "baseline.json"),
                seeded=False,
            ),
            Stage(
                name="export",
                version=1,
                inputs=("data", "teacher", "distill"),
                config=lambda _: build.table("task"),
                tools=("onnx",),
                run=export,
                outputs=("student.onnx", "golden.onnx", "metrics.json"),
                seeded=False,
            ),
            Stage(
                name="compile",
                version=1,
                inputs=("data", "distill"),
                config=lambda _: None,
                tools=("amaranth", "pyosys"),
                run=compile_core,
                outputs=("core.v", "io.json", "layers.json"),
                seeded=False,
            ),
        )

    def ladder(self) -> "Ladder":  # noqa: D102
        from pipeline.ladder.tree import TREE

        return TREE


def distill(ctx: StageContext) -> Facts:
    """Fit the tree to the teacher's outputs on the transfer set, and another one to the labels alone."""
    import numpy as np

    from models import data
    from models.distill.training import transfer
    from models.students.tree import fit

    asked = ctx.config.student_as(TreeStudent)
    dataset = data.load(ctx.input("data", "data.safetensors"))
    examples = transfer.load(ctx.input("teacher", "transfer.safetensors"))
    targets = {
        "tree": (examples.split.x, ctx.config.task.combine(examples.logits)),
        "baseline": (dataset.train.x, np.eye(dataset.classes)[dataset.train.y]),
    }
    facts = {}
    for name, (x, wanted) in ctx.track("trees", targets.items(), len(targets)):
        found = fit(x, wanted, dataset.input_shape, depth=asked.depth, leaves=asked.leaves)
        found.save(ctx.work / f"{name}.json")
        if name == "tree":
            (ctx.work / "tree.txt").write_text("\n".join(found.lines()) + "\n")
        facts[name] = {"depth": found.depth, "leaves": found.leaves}
    return facts


def export(ctx: StageContext) -> Facts:
    """Write the tree as ONNX, in float32 and in integers, and measure it on the test split."""
    import numpy as np

    from models import data
    from models import export as files
    from models.students.tree import DecisionTree
    from pipeline.artefacts.metrics import METRICS, measure

    dataset = data.load(ctx.input("data", "data.safetensors"))
    tree, baseline = (
        DecisionTree.load(ctx.input("distill", f"{name}.json")) for name in ("tree", "baseline")
    )
    files.save_model(files.student_tree_model(tree), ctx.work / "student.onnx")
    files.save_model(files.golden_tree_model(tree), ctx.work / "golden.onnx")
    outputs, without = (np.eye(dataset.classes)[each.predict(dataset.test.x)] for each in (tree, baseline))
    teacher = ctx.input("teacher", "teacher_logits.safetensors")
    metrics = measure(ctx.config.task, outputs, without, teacher, dataset)
    METRICS.save(ctx.work, metrics)
    return {"teacher": metrics.teacher, "student": metrics.student}


def compile_core(ctx: StageContext) -> Facts:
    """Write the tree's core, which takes a byte in every cycle."""
    import numpy as np

    from hw import dataflow
    from hw.core import design
    from hw.interface import Affine
    from models import data
    from models.students.tree import DecisionTree
    from pipeline.artefacts.hardware import LAYERS

    tree = DecisionTree.load(ctx.input("distill", "tree.json"))
    table = dataflow.TreeTable(tree.feature, tree.threshold, tree.left, tree.right, tree.label)
    layer = dataflow.Tree("tree", table, int(np.prod(tree.input_shape)), tree.classes)
    graph = dataflow.DataflowGraph(tree.input_shape, 8, (layer,))
    core = design(graph, ctx.work / "amaranth")
    (ctx.work / "core.v").write_text(core.verilog)
    pairs = data.load(ctx.input("data", "data.safetensors")).byte_values
    replace(core.interface, input_values=tuple(Affine(*pair) for pair in pairs)).save(ctx.work / "io.json")
    LAYERS.save(ctx.work, (describe(layer, None),))
    return {"interval_bound_cycles": graph.interval_bound}
