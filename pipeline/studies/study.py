"""Performs the study of a build: the runs through the engine and its store, then the summary."""

from dataclasses import asdict
from pathlib import Path

from pydantic_core import to_jsonable_python

from common.terminal import Display
from hw.tools.tools import fingerprint
from models import data
from pipeline.artefacts.study import Result, RunKeys, StudyResult
from pipeline.config.build import Build
from pipeline.config.file import with_values
from pipeline.engine import engine, outputs
from pipeline.engine.store import Manifest, Store
from pipeline.sizing.result import load_sized
from pipeline.stages import stages_of
from pipeline.studies.base import Finished, Run, study_of
from pipeline.studies.graph import perform_all, stages_in
from pipeline.studies.result import summaries, unique

TOOLS = ("torch", "brevitas", "lightning-fabric")
KEPT = ("bitstream", "finn-rtl", "compile")
"""Runs with one of these stages get a folder of their own."""


def perform(
    build: Build,
    store: Store,
    folder: Path,
    display: Display,
    workers: int = 1,
    cluster: str | None = None,
    until: str | None = None,
) -> StudyResult:
    """Perform the study of a build; an interrupted one goes on.

    Args:
        build: with a `[study]`.
        store: where stages are.
        folder: for the folders of runs that go beyond `export`.
        display: shows progress.
        workers: see `pipeline.studies.graph.perform_all`.
        cluster: likewise.
        until: a later last stage of the runs than the study's own.

    Raises `ConfigError`: there is no study in the build, or it does not suit the build. Raises `RetortError`:
    see `pipeline.engine.engine.build`.
    """
    study = study_of(build)
    first = engine.build(build, stages_of(build), store, fingerprint, until="data", progress=display)
    dataset = data.load(store.path(first.manifests["data"], "data.safetensors"))
    settled = _settled(build, store, display)
    runs = list(study.runs(settled, dataset))
    asked = [*runs, *(Run(run.labels, run.build, until) for run in runs if until)]
    found = perform_all(asked, study, store, workers, cluster, display.step)
    results, made, teacher = list[Result](), list[RunKeys](), None
    for run, (keys, tools) in zip(asked, found, strict=True):
        finished = Finished(store, {name: _manifest(store, key) for name, key in keys.items()})
        if run in runs:
            results += study.results(run, finished)
            made.append(RunKeys(run.labels, keys))
            teacher = finished.metrics.teacher if "export" in keys else teacher
        if set(KEPT) & set(keys):
            stages = [stage for stage in stages_in(study, run.build) if stage.name in keys]
            done = engine.BuildResult(run.build, tuple(stages), finished.manifests, tools, ())
            outputs.export(done, store, folder / run.build.name)
    results = unique(results)
    return StudyResult(
        build=build.name,
        study={"kind": study.kind} | to_jsonable_python(asdict(study)),
        metric=build.task.metric,
        units=study.units,
        teacher=teacher,
        tools={name: fingerprint(name) for name in TOOLS},
        notes=tuple(study.notes(settled, dataset, results)),
        runs=tuple(made),
        results=tuple(results),
        summaries=tuple(summaries(results, study)),
    )


def _settled(build: Build, store: Store, display: Display) -> Build:
    """The build with what it leaves open chosen once, for all runs."""
    if not build.student.choices:
        return build
    sized = engine.build(build, stages_of(build), store, fingerprint, until="size", progress=display)
    chosen = load_sized(store.path(sized.manifests["size"], "sized.json")).chosen
    present = {key: value for key, value in chosen.items() if key.endswith(".present")}
    fixed = with_values(build, {f"student.{key}": chosen[key] for key in chosen.keys() - present.keys()})
    layers = fixed.student.model_dump(exclude={"layers": {"__all__": {"optional"}}})["layers"]
    kept = [layer for at, layer in enumerate(layers) if present.get(f"layers[{at}].present", 1)]
    return with_values(fixed, {"student.layers": kept})


def _manifest(store: Store, key: str) -> Manifest:
    found = store.manifest(key)
    assert found is not None, f"{key} is gone from the store"
    return found
