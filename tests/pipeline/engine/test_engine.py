import json
import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from common.errors import ConfigError, StoreError, ToolError, ToolMissingError, VerificationError
from pipeline.engine.engine import PlannedStage, build, plan, select
from pipeline.engine.lock import open_built, read_lock
from pipeline.engine.outputs import export, keep_failed
from pipeline.engine.stage import Stage, StageContext
from pipeline.engine.store import Manifest, Store
from tests.pipeline.toy import config, identify, second, stages


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


class Notes:
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.steps: list[tuple[str, int, int]] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def step(self, label: str, done: int, total: int) -> None:
        self.steps.append((label, done, total))


def digests(manifests: "dict[str, Manifest]") -> dict[str, str]:
    """Of all but the logs, which hold times."""
    files = {f"{m.stage}/{n}": f.sha256 for m in manifests.values() for n, f in m.files.items()}
    return {name: digest for name, digest in files.items() if "logs/" not in name}


def whys(planned: list[PlannedStage]) -> list[tuple[str, str, str]]:
    return [(each.stage, each.status, each.why) for each in planned]


def test_builds_once(store: Store) -> None:
    notes = Notes()
    built = build(config(), stages(), store, identify, progress=notes)
    assert built.ran == ("first", "second", "third")
    assert ("second, steps", 20, 20) in notes.steps
    assert dict(built.manifests["second"].facts) == {"steps": 20}
    assert store.path(built.manifests["third"], "d.txt").read_text() == "SEED 1!"
    again = build(config(), stages(), store, identify, progress=notes)
    assert again.ran == () and again.keys == built.keys
    assert notes.notes[-3:] == ["first: cached", "second: cached", "third: cached"]


def test_keys_do_not_depend_on_place_or_logs(tmp_path: Path) -> None:
    one, other = (build(config(), stages(), Store(tmp_path / name), identify) for name in "ab")
    assert one.keys == other.keys
    logs = [result.manifests["first"].files["logs/first.log"] for result in (one, other)]
    assert logs[0] != logs[1]


def test_an_unchanged_output_stops_the_rebuild(store: Store) -> None:
    build(config(), stages(), store, identify)
    table = stages()
    assert build(config(), (replace(table[0], version=2), *table[1:]), store, identify).ran == ("first",)


def test_until(store: Store) -> None:
    assert build(config(), stages(), store, identify, until="second").ran == ("first", "second")
    with pytest.raises(ConfigError, match="--until: no stage 'x'; stages are first, second, third"):
        select(config(), stages(), "x")


def test_reasons(store: Store) -> None:
    assert whys(plan(config(), stages(), store, identify)) == [
        ("first", "run", "never built"),
        ("second", "run", "never built, after first"),
        ("third", "run", "never built, after second"),
    ]
    build(config(), stages(), store, identify)
    cached = [(name, "cached", "in the store") for name in ("first", "second", "third")]
    assert whys(plan(config(), stages(), store, identify)) == cached
    assert whys(plan(config(seed=2), stages(), store, identify))[0] == ("first", "run", "seed changed")
    student = config().student.model_copy(update={"epochs": 5})
    assert whys(plan(config(student=student), stages(), store, identify))[1:] == [
        ("second", "run", "configuration changed: epochs"),
        ("third", "run", "after second"),
    ]
    newer = whys(plan(config(), stages(), store, lambda name: f"{name} 2.0"))
    assert newer[0] == ("first", "run", "tools changed: yosys")
    table = stages()
    assert whys(plan(config(), (replace(table[0], version=2), *table[1:]), store, identify))[0] == (
        "first",
        "run",
        "stage version 1 became 2",
    )


def test_reason_inputs_changed(store: Store) -> None:
    build(config(), stages(), store, identify)
    build(config(seed=2), stages(), store, identify, until="first")
    planned = whys(plan(config(seed=2), stages(), store, identify))
    assert planned[1] == ("second", "run", "inputs changed: first/a.txt")


def test_reason_removed(store: Store) -> None:
    result = build(config(), stages(), store, identify)
    store.discard(result.keys["third"])
    assert whys(plan(config(), stages(), store, identify))[2] == (
        "third",
        "run",
        "not finished, or removed from the store",
    )


def missing(name: str) -> str:
    if name == "icepack":
        raise ToolMissingError("icepack is not on this machine: install it")
    return name


def test_a_missing_tool_is_told_before_anything_runs(store: Store) -> None:
    with pytest.raises(ToolMissingError):
        build(config(), stages(), store, missing)
    assert not list((store.root / "manifests").iterdir())
    assert build(config(), stages(), store, missing, until="second").ran == ("first", "second")
    planned = plan(config(), stages(), store, missing)[2]
    assert planned.why == "a tool is missing: icepack is not on this machine: install it"


def test_what_may_run_elsewhere_is_left_out_where_its_tool_is_missing(store: Store, tmp_path: Path) -> None:
    table = (*stages()[:2], replace(stages()[2], elsewhere=True))
    result = build(config(), table, store, missing)
    assert result.ran == ("first", "second")
    assert [stage.name for stage in result.stages] == ["first", "second"]
    assert result.elsewhere == "stage 'third': icepack is not on this machine: install it"
    assert "third" not in read_lock(export(result, store, tmp_path / "out")).stages
    assert build(config(), table, store, missing).ran == ()
    there = build(config(), table, store, identify, until="third")
    assert there.elsewhere is None and there.ran[-1] == "third"
    with pytest.raises(ToolMissingError):  # not for others
        build(config(), (replace(table[0], tools=("icepack",)), *table[1:]), store, missing)


def test_missing_output(store: Store) -> None:
    with pytest.raises(ToolError, match=r"stage 'second' ended without its output b\.txt, c\.txt"):
        build(config(), stages(second=lambda context: None), store, identify)


def test_a_failing_stage_leaves_what_it_made_and_all_before_it(store: Store, tmp_path: Path) -> None:
    def failing(context: StageContext) -> None:
        (context.work / "d.txt").write_text("mismatch")
        context.log("rtl.log").write_text("first mismatch")
        raise VerificationError(f"rung 'rtl' failed; see {context.log('rtl.log')}")

    folder = tmp_path / "out"
    notes = Notes()
    with pytest.raises(VerificationError) as caught:
        build(
            config(),
            stages(third=failing),
            store,
            identify,
            progress=notes,
            keep_failed=lambda stage, work: keep_failed(work, folder),
        )
    log = folder / "failed" / "logs" / "rtl.log"
    assert str(caught.value) == f"rung 'rtl' failed; see {log}"
    assert log.read_text() == "first mismatch"
    assert (folder / "failed" / "d.txt").read_text() == "mismatch"
    assert notes.notes[-1] == f"third: failed; what it left is in {folder / 'failed'}"
    assert list((store.root / "tmp").iterdir()) == []
    result = build(config(), stages(), store, identify)
    assert result.ran == ("third",)
    export(result, store, folder)
    assert not (folder / "failed").exists()


def test_partial_work_is_taken_up(store: Store) -> None:
    taken_up: list[bool] = []

    def stops(context: StageContext) -> None:
        taken_up.append((context.partial / "done").exists())
        for done, _ in enumerate(context.track("steps", range(20)), 1):
            (context.partial / "done").write_text(str(done))
            if done == 7:
                raise KeyboardInterrupt

    def goes_on(context: StageContext) -> dict[str, int]:
        taken_up.append((context.partial / "done").read_text() == "7")
        return second(context)

    with pytest.raises(KeyboardInterrupt):
        build(config(), stages(second=stops), store, identify)
    result = build(config(), stages(second=goes_on), store, identify)
    assert taken_up == [False, True]
    assert result.ran == ("second", "third")
    assert list((store.root / "partial").iterdir()) == []


def test_damage_stops_the_build_and_repair_mends_it(store: Store) -> None:
    built = build(config(), stages(), store, identify)
    path = store.path(built.manifests["second"], "b.txt")
    path.chmod(0o644)
    path.write_text("SEED 2")
    with pytest.raises(
        StoreError, match=r"'b\.txt' of stage 'second' was altered; run `retort build --repair"
    ):
        build(config(), stages(), store, identify)
    mended = build(config(), stages(), store, identify, repair=True)
    assert mended.ran == ("second",)
    assert digests(dict(mended.manifests)) == digests(dict(built.manifests))
    path.unlink()
    assert "damaged: " in whys(plan(config(), stages(), store, identify))[1][2]
    manifest = store.root / "manifests" / f"{built.keys['first']}.json"
    manifest.write_text("{")
    assert build(config(), stages(), store, identify, repair=True).ran == ("first", "second")


def test_reading_what_is_not_declared(store: Store) -> None:
    with pytest.raises(RuntimeError, match="may not read the seed"):
        build(config(), stages(second=lambda c: {"seed": c.seed}), store, identify)
    with pytest.raises(KeyError, match="stage 'first' is no declared input; declared are second"):
        build(config(), stages(third=lambda c: c.input("first", "a.txt") and None), store, identify)


def test_a_stage_by_name_is_imported_when_it_runs(store: Store) -> None:
    stage = Stage("named", 1, (), lambda c: None, (), "tests.pipeline.toy:first", ("a.txt",))
    assert build(config(), (stage,), store, identify).ran == ("named",)


def test_tools_and_outputs_may_depend_on_the_build(store: Store) -> None:
    stage = Stage(
        "bound",
        1,
        (),
        lambda c: c.board.name,
        lambda c: (f"nextpnr-{c.board.name}",),
        lambda c: (c.work / "icebreaker.bin").write_text("") and None,
        lambda c: (f"{c.board.name}.bin",),
    )
    result = build(config(), (stage,), store, identify)
    assert dict(result.tools["bound"]) == {"nextpnr-icebreaker": "nextpnr-icebreaker 1.0"}
    assert list(result.manifests["bound"].files) == ["icebreaker.bin"]


def test_killed_anywhere_the_rerun_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clean = build(config(), stages(), Store(tmp_path / "clean"), identify)
    monkeypatch.setenv("TOY_SLOW", "1")
    dice = random.Random(7)
    for turn in range(5):
        root = tmp_path / str(turn)
        for _ in range(4):
            child = os.fork()
            if not child:
                build(config(), stages(), Store(root), identify)
                os._exit(0)
            time.sleep(dice.uniform(0.0, 0.15))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        result = build(config(), stages(), Store(root), identify)
        assert result.keys == clean.keys
        assert digests(dict(result.manifests)) == digests(dict(clean.manifests))
        assert list((root / "tmp").iterdir()) == [] and list((root / "partial").iterdir()) == []


def test_two_builds_at_once_run_each_stage_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_SLOW", "1")
    children = []
    for number in range(3):
        child = os.fork()
        if not child:
            notes = Notes()
            build(config(), stages(), Store(tmp_path / "store"), identify, progress=notes)
            (tmp_path / f"{number}.json").write_text(json.dumps(notes.notes))
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    notes = [note for number in range(3) for note in json.loads((tmp_path / f"{number}.json").read_text())]
    assert notes.count("second: running") == 1
    assert "second: waiting for another build of it" in notes


def test_export(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    result = build(config(), stages(), store, identify)
    export(result, store, folder)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert names == [
        *("a.txt", "b.txt", "build.lock.json", "c.txt", "d.txt", "logs/first/first.log"),
        "volatile.lock.json",
    ]
    lock = read_lock(folder)
    assert lock.volatile == ("d.txt",)
    assert lock.board == "icebreaker" and lock.seed == 1
    assert lock.stages["third"].files == {}
    assert lock.stages["second"].key == result.keys["second"]
    assert lock.stages["first"].tools == {"yosys": "yosys 1.0"}
    assert open_built(folder).keys == result.keys

    before = {name: (folder / name).stat().st_ino for name in names}
    (folder / "b.txt").write_text("somebody's")
    export(build(config(), stages(), store, identify), store, folder)
    assert (folder / "b.txt").read_text() == "SEED 1"
    kept = {name for name in names if (folder / name).stat().st_ino == before[name]}
    assert kept == set(names) - {"b.txt", "volatile.lock.json"}

    export(build(config(), stages(), store, identify, until="first"), store, folder)
    assert not (folder / "d.txt").exists() and not (folder / "b.txt").exists()


def test_export_is_the_same_from_any_store(tmp_path: Path) -> None:
    locks = []
    for name in "ab":
        store = Store(tmp_path / name)
        export(build(config(), stages(), store, identify), store, tmp_path / f"out-{name}")
        locks.append((tmp_path / f"out-{name}" / "build.lock.json").read_bytes())
    assert locks[0] == locks[1]


def test_no_lock(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not there; give the folder of a finished build"):
        read_lock(tmp_path)
    (tmp_path / "build.lock.json").write_text("[]")
    with pytest.raises(StoreError, match="not a lock of a build"):
        read_lock(tmp_path)
