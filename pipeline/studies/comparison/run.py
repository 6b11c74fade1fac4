"""One student of a comparison: trained once, then in the store."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.config.build import Build, needed
from pipeline.config.file import parse
from pipeline.config.quantized import QuantizedStudent
from pipeline.engine.store import Manifest, Store, digest_of
from pipeline.studies.comparison.contenders import at_bits, contender

STAGE, VERSION = "compare", 1


@dataclass(frozen=True)
class Run:
    """What to train, in plain data: it may be sent to another machine that shares the store.

    Attributes:
        store: folder of the store.
        config: the build file's content.
        inputs: keys of the stages `data` and `teacher`.
        tools: identities of what trains.
        method: as `contender` takes it.
        bits: of weights and activations; None for those of the build file.
        seed: of the initial weights, the order of samples, and whatever else is drawn.
        epochs: in place of the build file's.
        samples: of the transfer set, drawn once for all runs; None for all.
    """

    store: str
    config: dict[str, Any]
    inputs: dict[str, str]
    tools: dict[str, str]
    method: str
    bits: int | None
    seed: int
    epochs: int
    samples: int | None

    @property
    def build(self) -> Build:
        """The build."""
        return parse(self.config, "comparison")

    def key(self, store: Store) -> str:
        """Digest of all that the student's weights depend on."""
        build = self.build
        inputs = [store.manifest(key) for key in self.inputs.values()]
        return digest_of(
            {
                "name": STAGE,
                "version": VERSION,
                "inputs": [each.to_json()["files"] for each in inputs if each],
                "recipe": repr(contender(self.method, needed(build.distill, "distill")).recipe),
                "student": build.student.model_dump(mode="json"),
                "training": needed(build.training, "training").model_dump(
                    mode="json", exclude={"checkpoint_every"}
                ),
                "tools": self.tools,
                "run": [self.bits, self.seed, self.epochs, self.samples],
            }
        )


def perform(run: Run) -> dict[str, Any]:
    """Train the run's student, or find it in the store.

    Gives `accuracy` and `teacher_accuracy` on the test split, `agreement` with the teacher's classes there,
    `validation_score` (all 0 to 1), and `seconds_per_step`: processor time, over the steps of a plain
    training of as many epochs. Freezing to integers changes no student's logits, so none is frozen here.
    """
    store = Store(Path(run.store))
    key = run.key(store)
    found = store.manifest(key)
    if found is None:
        with store.lock(key):
            found = store.manifest(key) or _train(run, store, key)
    return dict(found.facts)


def _train(run: Run, store: Store, key: str) -> Manifest:
    from models.distill.training.student_training import save_student
    from models.metrics import accuracy, agreement, combine
    from models.teachers.ensemble import ensemble_logits
    from models.training.evaluation import deterministic, predict

    setup = _training_setup(run, store, store.partial(key))
    recipe = contender(run.method, needed(run.build.distill, "distill")).recipe
    began = time.process_time()
    student, history = recipe.train(setup)
    seconds = time.process_time() - began
    training, test = setup.training, setup.dataset.test
    steps = run.epochs * max(1, len(setup.transfer.split) // training.batch_size)
    with deterministic(training.threads):
        logits = predict(student, test.x)
        teacher = combine(ensemble_logits(setup.members, test.x))
    facts = {
        "accuracy": accuracy(logits, test.y),
        "agreement": agreement(logits, teacher),
        "teacher_accuracy": accuracy(teacher, test.y),
        "validation_score": history.validation_score,
        "seconds_per_step": seconds / steps,
    }
    with store.work(key) as folder:
        save_student(student, folder / "student.safetensors")
        files = {"student.safetensors": folder / "student.safetensors"}
        return store.publish(key, STAGE, VERSION, files, facts)


def _training_setup(run: Run, store: Store, checkpoints: Path) -> Any:
    from models import data
    from models.distill.training import transfer
    from models.distill.training.setup import TrainingSetup
    from pipeline.students.training import teacher_setup, training_config

    build = run.build
    student = build.student_as(QuantizedStudent)
    dataset = data.load(_input(run, store, "data", "data.safetensors"))
    setup = teacher_setup(build, dataset, build.seed)
    path = _input(run, store, "teacher", "teacher.safetensors")
    members = needed(build.teacher, "teacher").load(setup, path)
    seen = transfer.load(_input(run, store, "teacher", "transfer.safetensors")).part(run.samples, build.seed)
    if run.samples is not None:  # methods that make samples of the training split start from the same few
        dataset = replace(dataset, train=seen.split)
    topology = student.topology(dataset.input_shape)
    training = training_config(build, student, run.seed)
    return TrainingSetup(
        topology=topology if run.bits is None else at_bits(topology, run.bits),
        dataset=dataset,
        transfer=seen,
        members=members,
        loss=needed(build.distill, "distill").recipe().loss,
        training=replace(training, epochs=run.epochs),
        augmentation=student.augment,
        checkpoints=checkpoints,
    )


def _input(run: Run, store: Store, stage: str, name: str) -> Path:
    manifest = store.manifest(run.inputs[stage])
    assert manifest is not None, f"stage '{stage}' is gone from the store"
    return store.path(manifest, name)
