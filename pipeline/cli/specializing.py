"""`retort experiment specialize`: ensembles of specialists on generated scenes with questions."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.artefacts.verification import Rung
from pipeline.cli.app import AsJson, print_json, print_table, say, shown
from pipeline.cli.folder import rung_rows


def specialize(
    ctx: typer.Context,
    members: Annotated[int, typer.Option(max=100, help="M, students of an ensemble.")] = 3,
    overlap: Annotated[int, typer.Option(max=100, help="k, members assigned to each sample.")] = 1,
    temperature: Annotated[float, typer.Option(max=10000, help="Of MCL-KD's targets.")] = 1.0,
    beta: Annotated[
        float, typer.Option(max=1e6, help="Weight of what is not assigned, in CMCL and MCL-KD.")
    ] = 1.0,
    assign: Annotated[str, typer.Option(help="By least `task` cost, or least `loss` in all.")] = "task",
    seeds: Annotated[int, typer.Option(max=1000, help="Ensembles of each kind, with other seeds.")] = 3,
    samples: Annotated[int, typer.Option(max=1_000_000, help="Questions to train on.")] = 3000,
    base_epochs: Annotated[int, typer.Option(max=100_000, help="Of the base models.")] = 20,
    epochs: Annotated[int, typer.Option(max=100_000, help="Of each ensemble, after the base models.")] = 8,
    seed: Annotated[int, typer.Option(max=(1 << 63) - 1, help="Of scenes and students.")] = 1,
    board: Annotated[
        str | None, typer.Option(help="To take the cores to, such as hx8k; else they end as cores.")
    ] = None,
    name: Annotated[str, typer.Option(help="The folder for the table and the cores.")] = "specialize",
    out: Annotated[Path, typer.Option(help="That folder is made in this one.")] = Path("out"),
    as_json: AsJson = False,
) -> None:
    """Ensembles that specialize, by MCL, CMCL and MCL-KD (Mun et al. 2018), on questions about scenes."""
    from pipeline.studies.specialize import Specialization, perform

    asked = Specialization(
        members=members,
        overlap=overlap,
        temperature=temperature,
        beta=beta,
        assign=assign,
        seeds=seeds,
        samples=samples,
        base_epochs=base_epochs,
        epochs=epochs,
        seed=seed,
        board=board,
    )
    with shown(ctx, as_json) as display:
        found = perform(asked, out / name, display)
    if as_json:
        print_json(found)
        return
    say(
        f"{members} members, {overlap} assigned; always the commonest answer {found['majority']:.2%}, "
        f"that to each template {found['majority_by_template']:.2%}"
    )
    columns = ("top1", "top1_difference", "oracle", "oracle_difference", "member")
    rows = [
        (row["method"], *(f"{row[key]['mean']:.2%} +- {row[key]['interval']:.2%}" for key in columns))
        for row in found["table"]
    ]
    print_table([("ensemble", "top-1", "to independent", "oracle", "to independent", "a member"), *rows])
    for core in found["cores"]:
        rungs = rung_rows([Rung(**rung) for rung in core["rungs"]])
        print_table([(core["folder"], "", ""), *rungs])
    say(f"in {found['folder']}")
