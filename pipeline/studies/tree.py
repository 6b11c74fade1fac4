"""A build's teacher as a decision tree on its board: the stages of `retort tree`, beside those of a build."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from common.progress import Display
from models.students.tree import DecisionTree, check_size
from pipeline.config.build import Build
from pipeline.engine import engine
from pipeline.engine.stage import Facts, Stage, StageContext
from pipeline.engine.store import Store
from pipeline.studies.own_core import COMMON, bring, to_board

FOLDER = "tree"
OWN = ("data", "tree", "bitstream", "verify")
"""The stages whose files a tree's folder has."""


@dataclass(frozen=True)
class TreePlan:
    """What tree to make of a teacher.

    Attributes:
        depth: most comparisons that a sample meets, 1 to 20.
        leaves: most leaves, 2 or more; None for as many as the depth allows.
        bitstream: whether to go on from the core to the board.

    Raises:
        ConfigError: depth or leaves out of range.
    """

    depth: int = 8
    leaves: int | None = None
    bitstream: bool = True

    def __post_init__(self) -> None:
        check_size(self.depth, self.leaves)

    def stages(self) -> tuple[Stage, ...]:
        """The build's stages up to the teacher, the tree, and the build's way from a core to the board."""
        tree = Stage(
            name="tree",
            version=2,
            inputs=("data", "teacher"),
            config=lambda _: [self.depth, self.leaves],
            tools=("scikit-learn", "amaranth", "pyosys"),
            run=partial(_fit, plan=self),
            outputs=("tree.json", "core.v", "io.json"),
            seeded=False,
        )
        on = to_board("tree", read=("data", "tree"), bitstream=self.bitstream)
        return (COMMON["data"], COMMON["teacher"], tree, *on)


def distil_tree(
    config: Build,
    plan: TreePlan,
    store: Store,
    identify: engine.Identify,
    display: Display,
    folder: Path,
) -> tuple[DecisionTree, Mapping[str, Any]]:
    """Bring the tree, and all that is made of it, into the store, and copy it to `folder`.

    Gives the tree, and what stage `tree` found: `depth`, `leaves`, `accuracy`, `teacher_accuracy` and
    `agreement` with the teacher (0 to 1) on the test split.

    Raises:
        RetortError: see `pipeline.engine.engine.build`.
    """
    result = bring(config, "tree", plan.stages(), OWN, store, identify, display, folder)
    return DecisionTree.load(folder / "tree.json"), result.manifests["tree"].facts


def _fit(ctx: StageContext, plan: TreePlan) -> Facts:
    """Fit the tree to the transfer set, measure it on the test split, and write its core."""
    import numpy as np

    from hw.core.tree import TreeCore, tree_verilog
    from hw.interface import Affine
    from hw.kernels.tree import TreeTable
    from models import data
    from models.distill.training import transfer
    from models.metrics import accuracy, combine
    from models.students.tree import fit
    from pipeline.artefacts.metrics import load_teacher_logits

    dataset = data.load(ctx.input("data", "data.safetensors"))
    test, examples = dataset.test, transfer.load(ctx.input("teacher", "transfer.safetensors"))
    targets = combine(examples.logits)
    tree = fit(examples.split.x, targets, dataset.input_shape, depth=plan.depth, leaves=plan.leaves)
    tree.save(ctx.work / "tree.json")
    table = TreeTable(tree.feature, tree.threshold, tree.left, tree.right, tree.label)
    core = TreeCore(table, tree.input_shape, tree.classes)
    (ctx.work / "core.v").write_text(tree_verilog(core, ctx.work / "amaranth"))
    values = tuple(Affine(*pair) for pair in dataset.byte_values)
    replace(core.format, input_values=values).save(ctx.work / "io.json")
    found = tree.predict(test.x)
    reference = combine(load_teacher_logits(ctx.input("teacher", "teacher_logits.safetensors"), dataset))
    return {
        "depth": tree.depth,
        "leaves": tree.leaves,
        "accuracy": float(np.mean(found == test.y)),
        "teacher_accuracy": accuracy(reference, test.y),
        "agreement": float(np.mean(found == reference.argmax(axis=1))),
    }
