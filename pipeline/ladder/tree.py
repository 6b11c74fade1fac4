"""The rungs of a decision tree."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.students.tree import DecisionTree
from pipeline.ladder.artefacts import Artefacts
from pipeline.ladder.climbing import Check, Ladder
from pipeline.ladder.networks import TRAINED
from pipeline.ladder.result import RungResult


class TreeArtefacts(Artefacts):
    """The folder of a build whose student is a tree."""

    @cached_property
    def student(self) -> NDArray[np.float32]:
        """Of the tree, 1 for the class that it gives, else 0: (n, classes)."""
        tree = DecisionTree.load(self.folder / "tree.json")
        return np.eye(tree.classes, dtype=np.float32)[tree.predict(self.dataset.test.x)]


def finn(_artefacts: Artefacts) -> RungResult:
    """FINN knows no trees."""
    return RungResult(None, "golden", skipped="a decision tree has no layers for FINN")


TREE = Ladder(TreeArtefacts, {**TRAINED, "finn": Check(finn)})
