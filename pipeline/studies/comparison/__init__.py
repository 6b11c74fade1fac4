"""Distillation methods against training on labels alone, over bit widths and seeds: `retort compare`."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from common.errors import ConfigError
from common.progress import Display
from pipeline.config.build import Build, needed
from pipeline.config.quantized import QuantizedStudent
from pipeline.engine import engine
from pipeline.engine.store import Store
from pipeline.studies.comparison.contenders import BASELINE, OWN, at_bits, contender, every_method
from pipeline.studies.comparison.graph import perform_all
from pipeline.studies.comparison.run import Run
from pipeline.studies.comparison.summary import rows

__all__ = ["BASELINE", "OWN", "TOOLS", "Plan", "compare", "every_method"]

TOOLS = ("torch", "brevitas", "lightning-fabric")
SAVED = ("accuracy", "agreement", "validation_score", "seconds_per_step")


@dataclass(frozen=True)
class Plan:
    """What to compare.

    Attributes:
        methods: names as `contender` takes them; the baseline is always there. None for all that fit the
            networks.
        bits: widths of all weights and activations; empty for those of the build file.
        seeds: students of each; the first has the build's seed.
        epochs: in place of the build file's; None for those.
        samples: how much of the transfer set to train on; None for all.

    Raises:
        ConfigError: fewer than two seeds, which have no spread.
    """

    methods: tuple[str, ...] | None
    bits: tuple[int, ...] = ()
    seeds: int = 5
    epochs: int | None = None
    samples: int | None = None

    def __post_init__(self) -> None:
        if self.seeds < 2:
            raise ConfigError(f"--seeds: {self.seeds} has no spread; give at least 2")


def compare(
    config: Build,
    plan: Plan,
    store: Store,
    identify: Callable[[str], str],
    display: Display,
    workers: int = 1,
    cluster: str | None = None,
) -> dict[str, Any]:
    """Train the build's student by every method, and by labels alone, and compare them.

    The teacher is the build's, trained once. Students of the same bit width and seed start from the same
    weights and see the same samples in the same order, where the method leaves that open. Whatever is
    finished is in the store: the same command goes on after an interruption, and more seeds or methods cost
    only their own runs.

    `left_out` of what it gives names methods that do not fit the networks, and why, where all were asked for.

    Raises:
        ConfigError: unknown methods, or such as do not fit each other or the networks; before any training.
    """
    methods = tuple(dict.fromkeys((BASELINE, *(every_method() if plan.methods is None else plan.methods))))
    left_out = _misfits(config, methods, plan)
    if left_out and plan.methods is not None:
        raise ConfigError(next(iter(left_out.values())))
    methods = tuple(method for method in methods if method not in left_out)
    from pipeline.stages import stages_of

    built = engine.build(config, stages_of(config), store, identify, until="teacher", progress=display)
    inputs = {name: built.keys[name] for name in ("data", "teacher")}
    runs = _runs(config, plan, methods, inputs, store, identify)
    found = perform_all(runs, workers, cluster, display.step)
    results = [
        {"method": run.method, "bits": run.bits, "seed": run.seed, **{key: facts[key] for key in SAVED}}
        for run, facts in zip(runs, found, strict=True)
    ]
    return {
        "build": config.name,
        "plan": asdict(plan),
        "epochs": runs[0].epochs,
        "teacher_accuracy": found[0]["teacher_accuracy"],
        "tools": runs[0].tools,
        "left_out": left_out,
        "rows": [asdict(row) for row in rows(results, BASELINE)],
        "runs": results,
    }


def _runs(
    config: Build,
    plan: Plan,
    methods: Sequence[str],
    inputs: dict[str, str],
    store: Store,
    identify: Callable[[str], str],
) -> list[Run]:
    """Every method at every bit width and seed; `inputs` are keys of stages."""
    return [
        Run(
            store=str(store.root),
            config=config.model_dump(mode="json", exclude_none=True),
            inputs=inputs,
            tools={name: identify(name) for name in TOOLS},
            method=method,
            bits=bits,
            seed=config.seed + index,
            epochs=plan.epochs or config.student_as(QuantizedStudent).epochs,
            samples=plan.samples,
        )
        for bits in plan.bits or (None,)
        for index in range(plan.seeds)
        for method in methods
    ]


def _misfits(config: Build, methods: Sequence[str], plan: Plan) -> dict[str, str]:
    """Find the methods that do not fit the networks, and why, before anything is trained.

    Raises:
        ConfigError: the student is left open, or a method is unknown.
    """
    from models import data
    from pipeline.config.data import data_source

    if config.student.choices:
        raise ConfigError(
            f"{config.name}: the student leaves {', '.join(config.student.choices)} open; "
            "give one number each to compare"
        )
    recipes = {method: contender(method, needed(config.distill, "distill")).recipe for method in methods}
    dataset = data.load_source(data_source(needed(config.data, "data")), config.seed)
    topology = config.student.topology(dataset.input_shape)
    teacher = needed(config.teacher, "teacher").architecture
    assert teacher is not None
    found: dict[str, str] = {}
    for method, recipe in recipes.items():
        try:
            for bits in plan.bits or (None,):
                recipe.check(topology if bits is None else at_bits(topology, bits), teacher)
        except ConfigError as error:
            found[method] = str(error)
    return found
