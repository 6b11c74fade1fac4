"""Students of experiments, each trained once, then in the store."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.distill.recipe import Recipe
from models.distill.training.setup import TrainingSetup
from models.students.student import Student
from pipeline.engine.store import Manifest, Store, digest_of

STAGE, VERSION = "experiment", 1
FILE = "student.safetensors"


@dataclass(frozen=True)
class Trained:
    """A student, and its accuracy (0 to 1) on the validation split that it was chosen by."""

    student: Student
    validation_score: float


@dataclass(frozen=True)
class Training:
    """Trains students; without a store, keeps none.

    Attributes:
        store: where finished students, and checkpoints of unfinished ones, are kept.
        tools: identities of what trains.
    """

    store: Store | None = None
    tools: Mapping[str, str] | None = None

    def __call__(self, recipe: Recipe, made: TrainingSetup) -> Trained:
        """Train a student, or find it in the store.

        Raises:
            ConfigError: the settings do not fit the data set or the networks.
            StoreError: a stored file is damaged.
        """
        from models.distill.training.student_training import load_student

        if self.store is None:
            student, history = recipe.train(made)
            return Trained(student, history.validation_score)
        key = self._key(recipe, made)
        with self.store.lock(key):
            found = self.store.manifest(key) or self._train(recipe, made, self.store, key)
        student = load_student(made.topology, self.store.path(found, FILE))
        return Trained(student, float(found.facts["validation_score"]))

    def _train(self, recipe: Recipe, made: TrainingSetup, store: Store, key: str) -> Manifest:
        from models.distill.training.student_training import save_student

        student, history = recipe.train(replace(made, checkpoints=store.partial(key)))
        facts = {"validation_score": history.validation_score}
        with store.work(key) as folder:
            save_student(student, folder / FILE)
            return store.publish(key, STAGE, VERSION, {FILE: folder / FILE}, facts)

    def _key(self, recipe: Recipe, made: TrainingSetup) -> str:
        """Digest of all that the student's weights depend on."""
        training = replace(made.training, checkpoint_every=1)
        settings = (recipe, made.topology, training, made.augmentation, made.dataset.name)
        return digest_of(
            {
                "name": STAGE,
                "version": VERSION,
                "settings": repr(settings),
                "samples": _samples(made),
                "tools": dict(self.tools or {}),
            }
        )


UNKEPT = Training()
"""Keeps no students."""


def _samples(made: TrainingSetup) -> str:
    """Digest of what is learned from, and of the teacher."""
    dataset, transfer = made.dataset, made.transfer
    splits = (dataset.train, dataset.validation, transfer.split)
    arrays: list[Any] = [array for split in splits for array in (split.x, split.y)]
    weights = [tensor for member in made.members for tensor in member.state_dict().values()]
    arrays += [transfer.logits, *(tensor.cpu().numpy() for tensor in weights)]
    digest = hashlib.sha256(repr([str(member) for member in made.members]).encode())
    for array in arrays:
        digest.update(repr((array.shape, array.dtype)).encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
