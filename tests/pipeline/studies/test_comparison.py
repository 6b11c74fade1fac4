import json
from dataclasses import replace

import numpy as np
import pytest

from common.errors import ConfigError, ToolError
from common.progress import Silent
from common.topology import AveragePool, Conv, Dense, MaxPool, Residual, Topology
from hw.tools.tools import fingerprint
from models.distill import METHODS, HardLabels, WeightedSum
from models.distill.schedules import OneStep
from models.distill.sources import Munge
from pipeline.config import file as config
from pipeline.engine.store import Store
from pipeline.studies import comparison
from pipeline.studies.comparison import Plan, compare
from pipeline.studies.comparison.contenders import at_bits, contender, every_method
from pipeline.studies.comparison.page import render, write
from pipeline.studies.comparison.run import Run
from pipeline.studies.comparison.summary import rows, summarize

PLAN = Plan(("softened-softmax",), bits=(2, 4), seeds=2, epochs=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def build(tiny_file):
    return config.load(tiny_file)


@pytest.fixture(scope="module")
def found(build, store):
    return compare(build, PLAN, store, fingerprint, Silent())


def test_interval_is_students_t():
    found = summarize(np.array([0.9, 0.92, 0.94]))
    # t(0.975, 2) = 4.302653, standard error 0.02 / sqrt(3)
    assert found.mean == pytest.approx(0.92)
    assert found.interval == pytest.approx(4.302653 * 0.02 / np.sqrt(3), rel=1e-6)


def test_verdicts():
    def results(method, accuracies):
        return [
            {"method": method, "bits": 2, "accuracy": value, "agreement": 1.0, "seconds_per_step": 0.1}
            for value in accuracies
        ]

    plain = results("hard-labels", (0.8, 0.82, 0.81))
    better = results("b", (0.85, 0.871, 0.86))
    worse = results("w", (0.7, 0.719, 0.71))
    unclear = results("u", (0.8, 0.83, 0.81))
    table = rows([*plain, *worse, *unclear, *better], "hard-labels")
    assert [(row.method, row.verdict) for row in table] == [
        ("hard-labels", "none"),
        ("b", "better"),
        ("u", "open"),
        ("w", "worse"),
    ]
    assert table[1].difference.mean == pytest.approx(0.0503333, abs=1e-6)  # paired, not of the means alone
    assert table[1].difference.interval == pytest.approx(
        4.302653 * np.std([0.05, 0.051, 0.05], ddof=1) / 3**0.5
    )


def test_rows_of_all_bit_widths(found):
    assert {(row["bits"], row["method"]) for row in found["rows"]} == {
        (bits, method) for bits in (2, 4) for method in ("hard-labels", "softened-softmax")
    }
    assert [run["seed"] for run in found["runs"]] == [3, 3, 4, 4] * 2
    for row in found["rows"]:
        mine = [
            r["accuracy"] for r in found["runs"] if (r["method"], r["bits"]) == (row["method"], row["bits"])
        ]
        assert row["accuracy"]["mean"] == pytest.approx(np.mean(mine))
    assert 0.3 < found["teacher_accuracy"] <= 1


def test_what_is_finished_is_not_trained_again(build, store, found, monkeypatch):
    monkeypatch.setattr(comparison.run, "_train", lambda *_: pytest.fail("trained again"))
    again = compare(build, PLAN, store, fingerprint, Silent())
    assert again == found
    fewer = compare(build, replace(PLAN, bits=(2,)), store, fingerprint, Silent())
    assert fewer["runs"] == [run for run in found["runs"] if run["bits"] == 2]


def test_several_processes_give_the_same(build, store, found, tmp_path):
    """Another store, two processes: the same students."""
    other = compare(build, replace(PLAN, bits=(2,)), Store(tmp_path), fingerprint, Silent(), workers=2)
    mine = [run["accuracy"] for run in found["runs"] if run["bits"] == 2]
    assert [run["accuracy"] for run in other["runs"]] == mine


@pytest.mark.slow
def test_a_cluster_gives_the_same(build, store, found):
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        again = compare(build, PLAN, store, fingerprint, Silent(), cluster=cluster.scheduler_address)
    assert again == found


def test_no_cluster_there(build, store, found):
    with pytest.raises(ToolError, match=r"--cluster: tcp://127\.0\.0\.1:1 cannot be reached"):
        compare(build, PLAN, store, fingerprint, Silent(), cluster="tcp://127.0.0.1:1")


def test_a_run_is_plain_data_with_a_key_of_its_own(build, store, found):
    run = Run(
        store=str(store.root),
        config=build.model_dump(mode="json", exclude_none=True),
        inputs={},
        tools={},
        method="hard-labels",
        bits=2,
        seed=3,
        epochs=1,
        samples=None,
    )
    assert run.build == build
    changes = [{"method": "softened-softmax"}, {"seed": 4}, {"bits": 3}, {"epochs": 2}, {"samples": 9}]
    keys = {replace(run, **change).key(store) for change in ({}, *changes)}
    assert len(keys) == 6 and run.key(store) in keys


def test_few_samples_are_all_that_a_method_sees(build, store, found, monkeypatch):
    seen, original = [], Munge.one_pass
    monkeypatch.setattr(
        Munge, "one_pass", lambda own, real, seed: seen.append(len(real)) or original(own, real, seed)
    )
    compare(build, Plan(("munge",), bits=(2,), seeds=2, epochs=1, samples=9), store, fingerprint, Silent())
    assert seen == [9] * 2 * Munge().multiple


def test_one_seed_is_refused():
    with pytest.raises(ConfigError, match="--seeds"):
        Plan((), seeds=1)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("softened-softmx", "no method 'softened-softmx'; did you mean 'softened-softmax'"),
        ("training+training", "more than one source"),
        ("nothing-like-it", "retort methods"),
    ],
)
def test_unknown_methods_are_refused_before_training(build, tmp_path, name, message):
    with pytest.raises(ConfigError, match=message):
        compare(build, Plan((name,)), Store(tmp_path), fingerprint, Silent())
    assert not list((tmp_path / "manifests").iterdir())


def test_methods_that_do_not_fit_are_left_out_of_all(build, store, found, tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "every_method", lambda: ("softened-softmax", "attention-transfer"))
    every = compare(build, replace(PLAN, methods=None), store, fingerprint, Silent())
    assert every["rows"] == found["rows"] and list(every["left_out"]) == ["attention-transfer"]
    reason = every["left_out"]["attention-transfer"]
    assert "more than one pixel" in reason
    assert f"Left out: {reason}" in write(every, tmp_path).with_name("compare.md").read_text()
    assert reason in render(every)
    with pytest.raises(ConfigError, match="more than one pixel"):
        compare(build, replace(PLAN, methods=("attention-transfer",)), store, fingerprint, Silent())


def test_every_method_is_a_contender(build):
    names = every_method()
    assert (
        names[0] == HardLabels.method
        and set(METHODS) - {"detection"} <= set(names)
        and len(set(names)) == len(names)
    )
    for name in names:
        made = contender(name, build.distill)
        assert isinstance(made.recipe.loss, WeightedSum)
        assert any(part.whole for _, part in made.recipe.loss.parts)
    joined = contender("softened-softmax+logit-matching", build.distill).recipe
    assert [part.method for _, part in joined.loss.parts] == ["softened-softmax", "logit-matching"]
    assert isinstance(joined.schedule, OneStep)
    assert contender("build", build.distill).recipe == build.distill.recipe()


def test_at_bits():
    conv = Conv(4, (3, 3), 4, 4)
    body = (replace(conv, padding=(1, 1)),)
    layers = (conv, MaxPool((2, 2)), Residual(body, 4), AveragePool(None, None), Dense(3, 4, None))
    changed = at_bits(Topology((8, 8, 1), layers), 2)
    weights = [step.layer.weight_bits for step in changed.steps if hasattr(step.layer, "weight_bits")]
    assert weights == [2] * 3
    assert [getattr(step.layer, "activation_bits", None) for step in changed.steps][-2:] == [None, None]
    assert changed.layers[0].activation_bits == 2 and changed.layers[2].activation_bits == 2


def test_page(found, tmp_path):
    page = write(found, tmp_path)
    assert json.loads((tmp_path / "compare.json").read_text()) == json.loads(json.dumps(found))
    text, lines = page.read_text(), (tmp_path / "compare.md").read_text().splitlines()
    assert (
        lines[0].startswith("tiny: 2 students of each method, 1 epochs; teacher") and "torch 2." in lines[0]
    )
    assert len(lines) == 2 + 2 + 2 and len({line.count("|") for line in lines[2:]}) == 1
    assert text == render(found)
    for row in found["rows"]:
        assert f"{100 * row['accuracy']['mean']:.2f}" in text
        assert any(f"{100 * row['accuracy']['mean']:.2f} ±" in line for line in lines)
    assert "2 bits" in text and "4 bits" in text and "<script" not in text
