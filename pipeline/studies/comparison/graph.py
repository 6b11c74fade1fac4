"""All runs of a comparison as a Dask graph: in this process, in several, or on a cluster."""

from collections.abc import Sequence
from typing import Any

from common.errors import ToolError
from common.progress import Step
from pipeline.studies.comparison.run import Run, perform

LABEL = "students"


def perform_all(runs: Sequence[Run], workers: int, cluster: str | None, step: Step) -> list[dict[str, Any]]:
    """Perform the runs, in any order; what they found comes in theirs.

    Args:
        runs: what to do; each is independent, and finished ones are found in the store.
        workers: processes on this machine; 1 is this process itself.
        cluster: address of a Dask scheduler whose workers share the store, in place of this machine.
        step: told of every run that is done.

    Raises:
        ToolError: the cluster cannot be reached.
    """
    step(LABEL, 0, len(runs))
    return _on_cluster(runs, cluster, step) if cluster else _here(runs, workers, step)


def _here(runs: Sequence[Run], workers: int, step: Step) -> list[dict[str, Any]]:
    import dask
    from dask.callbacks import Callback

    done = 0

    def count(*_: object) -> None:
        nonlocal done
        done += 1
        step(LABEL, min(done, len(runs)), len(runs))

    tasks = [dask.delayed(perform, pure=False)(run) for run in runs]
    settings: dict[str, Any] = {"scheduler": "synchronous"}
    if workers > 1:
        settings = {"scheduler": "processes", "num_workers": workers, "chunksize": 1}
    with Callback(posttask=count):
        return list(dask.compute(*tasks, **settings))


def _on_cluster(runs: Sequence[Run], cluster: str, step: Step) -> list[dict[str, Any]]:
    from distributed import Client, as_completed

    try:
        client = Client(cluster, timeout="10s")
    except (OSError, ValueError) as error:
        raise ToolError(f"--cluster: {cluster} cannot be reached ({error}); give its scheduler") from error
    with client:
        futures = client.map(perform, runs, pure=False)
        for done, _ in enumerate(as_completed(futures), start=1):
            step(LABEL, done, len(runs))
        return list(client.gather(futures))
