"""Toy stages, and what the tests of the engine need around them."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.config.build import Build
from pipeline.config.file import load
from pipeline.engine.stage import Stage, StageContext

ROOT = Path(__file__).parents[2]
BUILDS = ROOT / "builds"


def config(**changes: Any) -> Build:
    return load(BUILDS / "digits-icebreaker.toml").model_copy(update=changes)


def identify(name: str) -> str:
    return f"{name} 1.0"


def first(context: StageContext) -> None:
    (context.work / "a.txt").write_text(f"seed {context.seed}")
    context.log("first.log").write_text(f"{time.time()}")


def second(context: StageContext) -> dict[str, int]:
    text = context.input("first", "a.txt").read_text()
    done = context.partial / "done"
    for step in context.track("steps", range(int(done.read_text()) if done.exists() else 0, 20)):
        if os.environ.get("TOY_SLOW"):
            time.sleep(0.01)
        temporary = context.partial / "new"
        temporary.write_text(str(step + 1))
        temporary.replace(done)
    (context.work / "b.txt").write_text(text.upper())
    (context.work / "c.txt").write_text("x" * 100_000)
    return {"steps": 20}


def third(context: StageContext) -> None:
    (context.work / "d.txt").write_text(context.input("second", "b.txt").read_text() + "!")


def stages(**replaced: Callable[[StageContext], Any]) -> tuple[Stage, ...]:
    runs = {"first": first, "second": second, "third": third} | replaced
    return (
        Stage("first", 1, (), lambda c: {"source": c.data.source}, ("yosys",), runs["first"], ("a.txt",)),
        Stage(
            "second",
            1,
            ("first",),
            lambda c: c.student.model_dump(mode="json"),
            (),
            runs["second"],
            ("b.txt", "c.txt"),
            seeded=False,
        ),
        Stage("third", 1, ("second",), lambda c: None, ("icepack",), runs["third"], ("d.txt",), ("d.txt",)),
    )
