"""A build's teacher as a decision tree: fitted, written, simulated; what `retort tree` answers."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from hw.kernels.tree import TreeTable
from hw.simulate import CoreSimulator
from hw.tree_core import TreeCore, tree_verilog
from models import data
from models.distill import transfer
from models.evaluation import deterministic
from models.metrics import accuracy, combine
from models.teacher import ensemble_logits, load_ensemble
from models.tree import DecisionTree, fit
from pipeline.config import BuildConfig
from pipeline.errors import VerificationError
from pipeline.stages.training import teacher_config

FOLDER = "tree"


def distil_tree(
    config: BuildConfig, files: dict[str, Path], depth: int, leaves: int | None, folder: Path
) -> tuple[DecisionTree, dict[str, Any]]:
    """Fit a tree to the transfer set, and write `tree.json`, `core.v`, `io.json` to `tree/` of `folder`.

    `files` are the stages' outputs, by name. Gives the tree, and accuracies (0 to 1) on the test split. The
    core is simulated on all of it.

    Raises:
        ConfigError: depth or leaves out of range.
        VerificationError: the core gives another label than the tree; names the sample.
    """
    dataset = data.load(files["data.safetensors"])
    settings = teacher_config(config, config.seed)
    ensemble = load_ensemble(settings, dataset, files["teacher.safetensors"])
    with deterministic(settings.training.threads):
        reference = combine(ensemble_logits(ensemble.members, dataset.test.x))
    examples = transfer.load(files["transfer.safetensors"])
    tree = fit(examples.split.x, combine(examples.logits), dataset.input_shape, depth=depth, leaves=leaves)
    out = folder / FOLDER
    out.mkdir(parents=True, exist_ok=True)
    tree.save(out / "tree.json")
    found = tree.predict(dataset.test.x)
    interval = _simulate(tree, dataset.test.x, found, out)
    return tree, {
        "depth": tree.depth,
        "leaves": tree.leaves,
        "accuracy": float(np.mean(found == dataset.test.y)),
        "teacher_accuracy": accuracy(reference, dataset.test.y),
        "agreement": float(np.mean(found == reference.argmax(axis=1))),
        "samples": len(found),
        "interval_cycles": interval,
        "folder": str(out),
    }


def _simulate(tree: DecisionTree, x: Any, labels: Any, out: Path) -> int:
    """Write the core, compare it with `labels` (n,) on samples `x` uint8 (n, features); cycles a frame."""
    table = TreeTable(tree.feature, tree.threshold, tree.left, tree.right, tree.label)
    core = TreeCore(table, tree.input_shape, tree.classes)
    with tempfile.TemporaryDirectory(prefix="retort-tree-") as name:
        work = Path(name)
        (out / "core.v").write_text(tree_verilog(core, work))
        core.format.save(out / "io.json")
        simulator = CoreSimulator(out / "core.v", core.format, work=work, log=out / "simulation.log")
        simulation = simulator.run(x.reshape(-1, *tree.input_shape))
    differing = np.flatnonzero(simulation.outputs[:, 0] != labels)
    if len(differing):
        first = int(differing[0])
        raise VerificationError(
            f"tree: the core differs on {len(differing)} of {len(labels)} samples, first on {first}: "
            f"{simulation.outputs[first, 0]} for {labels[first]}; report this"
        )
    return simulation.interval
