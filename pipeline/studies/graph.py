"""The stages of all runs as one Dask graph: in this process, in several, or on a cluster."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from common.errors import RetortError, ToolError
from common.terminal import Step
from hw.tools.tools import fingerprint
from pipeline.config.build import Build
from pipeline.config.file import parse
from pipeline.engine import engine
from pipeline.engine.stage import Stage
from pipeline.engine.store import Store, digest_of
from pipeline.stages import stages_of
from pipeline.studies.base import Run, Study, study_of

LABEL = "stages of all runs"

Keys: TypeAlias = dict[str, str]
"""Of the stages of a run, by name."""


@dataclass(frozen=True)
class Task:
    """One stage of one or several runs: plain data, for another machine that shares the store.

    Attributes:
        store: folder of the store.
        config: the build file's content.
        until: the stage.
        label: the first run that wants it, for errors.
    """

    store: str
    config: Mapping[str, Any]
    until: str
    label: str


def stages_in(study: Study, build: Build) -> tuple[Stage, ...]:
    """The stages of a run's build, then those that measure."""
    return (*stages_of(build), *study.stages)


def perform(task: Task, *before: Keys) -> tuple[Keys, dict[str, dict[str, str]]]:
    """Bring a stage into the store; gives keys and tools of it and of all stages before it."""
    build = parse(task.config, task.label)
    try:
        found = engine.build(
            build, stages_in(study_of(build), build), Store(Path(task.store)), fingerprint, until=task.until
        )
    except RetortError as error:
        error.args = tuple(f"{task.label}: {each}" for each in error.args)
        raise
    return found.keys, {name: dict(tools) for name, tools in found.tools.items()}


def perform_all(
    runs: Sequence[Run], study: Study, store: Store, workers: int, cluster: str | None, step: Step
) -> list[tuple[Keys, dict[str, dict[str, str]]]]:
    """Perform all runs; what `perform` gives of the last stage of each comes in their order.

    A stage that several runs share is one task. What is finished is in the store.

    Args:
        runs: what to do.
        study: whose runs they are.
        store: where results go.
        workers: processes on this machine; 1 is this process itself.
        cluster: address of a Dask scheduler whose workers share the store, in place of this machine.
        step: told of every stage that is done.

    Raises `ToolError`: the cluster cannot be reached. Raises `RetortError`: a stage failed; names its run.
    """
    graph: dict[str, tuple[Any, ...]] = {}
    wanted = [_add(graph, run, study, str(store.root)) for run in runs]
    step(LABEL, 0, len(graph))
    if cluster:
        return _on_cluster(graph, wanted, cluster, step)
    return _here(graph, wanted, workers, step)


def _add(graph: dict[str, tuple[Any, ...]], run: Run, study: Study, store: str) -> str:
    """Add the run's stages to the graph, and give the name of the last."""
    label = ", ".join(f"{name} {value}" for name, value in run.labels.items())
    raw = run.build.model_dump(mode="json", exclude_none=True)
    names: dict[str, str] = {}
    for stage in engine.select(run.build, stages_in(study, run.build), run.until):
        before = [names[name] for name in stage.inputs_of(run.build)]
        seed = run.build.seed if stage.seeded else None
        name = digest_of([stage.name, seed, stage.config(run.build), before])
        names[stage.name] = name
        graph.setdefault(name, (perform, Task(store, raw, stage.name, label), *before))
    return names[run.until]


def _here(graph: dict[str, tuple[Any, ...]], wanted: Iterable[str], workers: int, step: Step) -> list[Any]:
    import dask
    from dask.callbacks import Callback
    from dask.multiprocessing import get

    done = 0

    def count(*_: object) -> None:
        nonlocal done
        done += 1
        step(LABEL, min(done, len(graph)), len(graph))

    with Callback(posttask=count):
        if workers == 1:
            return list(dask.get(graph, list(wanted)))
        return list(get(graph, list(wanted), num_workers=workers, chunksize=1, optimize_graph=False))


def _on_cluster(graph: dict[str, tuple[Any, ...]], wanted: list[str], cluster: str, step: Step) -> list[Any]:
    from distributed import Client, as_completed

    try:
        client = Client(cluster, timeout="10s")
    except (OSError, ValueError) as error:
        raise ToolError(f"--cluster: {cluster} cannot be reached ({error}); give its scheduler") from error
    with client:
        futures = client.get(graph, list(graph), sync=False)
        for done, _ in enumerate(as_completed(futures), start=1):
            step(LABEL, done, len(graph))
        found = dict(zip(graph, client.gather(futures), strict=True))
    return [found[name] for name in wanted]
