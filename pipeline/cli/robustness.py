"""`retort robustness`: accuracy of a build's student under noise and attacks."""

from typing import Annotated

import typer

from hw.tools.tools import fingerprint
from pipeline.cli.app import (
    DEFAULT_STORE,
    AsJson,
    BuildFile,
    StoreFolder,
    print_json,
    print_table,
    say,
    shown,
)
from pipeline.config.file import load_checked
from pipeline.engine import engine
from pipeline.engine.store import Store

Noise = Annotated[
    list[float] | None,
    typer.Option(help="Standard deviation of Gaussian noise, in input steps.", show_default=False),
]
Change = Annotated[
    list[int] | None, typer.Option(help="Greatest change of an input, in input steps.", show_default=False)
]


def robustness(
    ctx: typer.Context,
    file: BuildFile,
    noise: Noise = None,
    fgsm: Change = None,
    pgd: Change = None,
    pgd_steps: Annotated[int, typer.Option(max=10000, help="Gradient steps of each PGD.")] = 10,
    samples: Annotated[int, typer.Option(min=1, help="No more test samples than these.")] = 1000,
    store: StoreFolder = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Perturb the test samples, say how often student and undistilled twin are right.

    Runs the stages up to `distill` that are not in the store. An input step is 1 of 0 to 255. --noise, --fgsm
    and --pgd may be given several times; if not given, they follow the greatest input of the data set.
    """
    config = load_checked(file)
    from models.robustness import Perturbations
    from pipeline.stages import stages_of
    from pipeline.studies.robustness import robustness as run

    wanted = Perturbations(tuple(noise or ()), tuple(fgsm or ()), tuple(pgd or ()), pgd_steps, config.seed)
    opened = Store(store)
    with shown(ctx, as_json) as display:
        result = engine.build(
            config, stages_of(config), opened, fingerprint, until="distill", progress=display
        )
        found = run(config, result, opened, wanted, samples, display.step)
    if as_json:
        print_json(found)
        return
    say(
        f"accuracy on {found['samples']} test samples; sizes in input steps, inputs of the data set "
        f"up to {found['greatest_input']}"
    )
    rows = [
        (_title(row["perturbation"], row["size"]), f"{row['student']:.2%}", f"{row['baseline']:.2%}")
        for row in found["rows"]
    ]
    print_table([("perturbation", "student", "not distilled"), *rows])


def _title(kind: str, size: float) -> str:
    titles = {"clean": "clean", "noise": f"noise, sigma {size:g}"}
    return titles.get(kind, f"{kind.upper()}, eps {size:g}")
