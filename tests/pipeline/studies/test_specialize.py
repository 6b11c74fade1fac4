"""Ensembles of specialists: scores computed again, members as builds, and what is refused."""

import re
from pathlib import Path

import numpy as np
import pytest

from common.errors import ConfigError
from common.terminal import Silent
from models import data
from models.data.scenes import templates_of
from models.students import integer
from models.tasks import CLASSIFICATION
from pipeline.artefacts.metrics import load_teacher_logits
from pipeline.config.file import load_checked, with_values
from pipeline.engine import engine
from pipeline.engine.store import Store
from pipeline.stages import stages_of
from pipeline.studies.study import perform
from tests.conftest import ROOT

FILE = ROOT / "builds" / "scenes-specialists-hx8k.toml"
SMALL = (
    "data.questions=400",
    "data.test_samples=80",
    "teacher.members=2",
    "teacher.base_epochs=2",
    "teacher.epochs=1",
    "student.epochs=1",
    "study.seeds=2",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("specialists"))


def small(*values):
    return load_checked(FILE, [*SMALL, *values])


@pytest.fixture(scope="module")
def found(store, tmp_path_factory):
    asked = small("study.to_board=false", 'study.methods=["mcl", "mcl-kd"]')
    return perform(asked, store, tmp_path_factory.mktemp("out"), Silent())


def test_scores(found, store):
    for run, result in zip(found.runs, found.results, strict=True):
        stages = {name: store.manifest(key) for name, key in run.stages.items()}
        test = data.load(store.path(stages["data"], "data.safetensors"))
        logits = load_teacher_logits(
            store.path(stages["teacher"], "teacher_logits.safetensors"), test, CLASSIFICATION
        )
        right = [each.argmax(axis=1) == test.test.y for each in logits]
        exponentials = [np.exp(each - each.max(axis=1, keepdims=True)) for each in logits.astype(float)]
        mean = sum(each / each.sum(axis=1, keepdims=True) for each in exponentials)
        assert result.metrics["top1"] == np.mean(mean.argmax(axis=1) == test.test.y)
        assert result.metrics["oracle"] == np.mean(right[0] | right[1]) >= result.metrics["member"]
        assert result.metrics["member"] == pytest.approx(np.mean(right))
    assert [each.labels for each in found.results[:3]] == [
        {"ensemble": method, "seed": 1} for method in ("independent", "mcl", "mcl-kd")
    ]
    assert found.results[3].labels["seed"] == 3  # each member has a seed of its own
    asked, answers = templates_of(test.test), test.test.y
    known = sum(np.bincount(answers[asked == place]).max() for place in range(5)) / len(answers)
    assert re.search(f"each template: {known:.2%}", found.notes[0])


def test_a_member_is_a_build_of_the_same_ensemble(found, store):
    """Its teacher is the study's, and its student the member, frozen."""
    asked = with_values(small(), {"teacher.seed": 1, "distill.schedule": {"kind": "specialist", "member": 1}})
    built = engine.build(asked, stages_of(asked), store, _tool, until="export")
    assert "teacher" not in built.ran
    test = data.load(store.path(built.manifests["data"], "data.safetensors"))
    logits = load_teacher_logits(
        store.path(built.manifests["teacher"], "teacher_logits.safetensors"), test, CLASSIFICATION
    )
    network = integer.load(store.path(built.manifests["export"], "frozen.safetensors"))
    frozen = network.forward(test.test.x) * network.logit_scale
    assert np.allclose(frozen, logits[1], atol=1e-4) and not np.allclose(frozen, logits[0], atol=1e-4)


def _tool(name):
    from hw.tools.tools import fingerprint

    return fingerprint(name)


@pytest.mark.slow
def test_members_climb_to_the_board(store, tmp_path):
    asked = small('study.methods=["mcl-kd"]')
    found = perform(asked, store, tmp_path, Silent())
    members = [each for each in found.results if "member" in each.labels]
    assert [each.labels["member"] for each in members] == [0, 1]
    for member in members:
        folder = Path(tmp_path / f"{asked.name}-{member.labels['member']}")
        text = (folder / "verification.json").read_text()
        for rung in ("golden", "rtl", "netlist", "board"):
            assert f'"{rung}"' in text
        assert '"status": "failed"' not in text and (folder / "report.html").exists()
        assert member.metrics["interval"] >= 603


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("teacher.members=1", "an ensemble of 1 cannot specialize"),
        ("teacher.overlap=3", "overlap: is 3, of 2 members"),
        ('teacher.assign="both"', r"teacher\.assign"),
        ("teacher.beta=-1.0", "beta"),
        ("teacher.temperature=0.0", "temperature"),
        ("study.seeds=1", "seeds"),
        ('study.methods=["mlc"]', r"study\.methods"),
    ],
)
def test_refuses_before_anything_runs(value, why):
    with pytest.raises(ConfigError, match=why):
        small(value)


def test_a_member_that_is_not_there(found, store):
    asked = with_values(small(), {"teacher.seed": 1, "distill.schedule": {"kind": "specialist", "member": 2}})
    with pytest.raises(ConfigError, match="member is 2, of 2"):
        engine.build(asked, stages_of(asked), store, _tool, until="distill")


def test_other_teachers_have_no_specialists(tmp_path):
    text = FILE.read_text().replace('kind = "specialists"\nmethod = "mcl-kd"', "hidden = [8]")
    file = tmp_path / "scenes.toml"
    file.write_text(text)
    asked = load_checked(file, ["data.questions=400"])
    with pytest.raises(ConfigError, match=r"wants \[teacher\] kind 'specialists'"):
        next(asked.study.runs(asked, None))
