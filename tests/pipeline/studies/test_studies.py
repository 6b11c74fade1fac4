"""Every kind of study on a tiny build, its numbers computed again from the stages' files."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from common.errors import ConfigError, ToolError
from common.terminal import Silent
from models import data
from models.distill import METHODS, HardLabels
from models.distill.recipe import Recipe
from models.distill.schedules import SCHEDULES
from models.distill.sources import SOURCES, Munge, TrainingData
from models.distill.training import transfer
from models.distill.training.student_training import load_student
from models.metrics import accuracy
from models.robustness import fgsm
from models.students import integer
from models.students.freeze import freeze
from pipeline.artefacts.study import STUDY
from pipeline.config.file import load_checked, with_values
from pipeline.config.study import STUDIES
from pipeline.engine import engine
from pipeline.engine.store import Store
from pipeline.studies.base import LABELS_ONLY, study_of
from pipeline.studies.compare import Compare, at_bits, distilled, every_method
from pipeline.studies.study import perform
from pipeline.studies.temperature import at_temperature
from tests.conftest import TINY, retort

COMPARE = {"methods": ["softened-softmax"], "bits": [2, 4], "seeds": 2, "epochs": 1}


def loaded(text):
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "tiny.toml"
        file.write_text(text)
        return load_checked(file)


def build(kind, changes=(), **keys):
    text = TINY.format(name="tiny")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return loaded("\n".join([text, "[study]", f'kind = "{kind}"', *map(line, keys, keys.values())]))


def line(key, value):
    return f"{key} = {json.dumps(value)}"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("studies"))


@pytest.fixture
def done(store, tmp_path):
    def run(kind, **keys):
        return perform(build(kind, **keys), store, tmp_path, Silent())

    return run


@pytest.fixture(scope="module")
def compared(store, tmp_path_factory):
    return perform(build("compare", **COMPARE), store, tmp_path_factory.mktemp("out"), Silent())


def stored(store, run, stage, name):
    return store.path(store.manifest(run.stages[stage]), name)


def dataset(store, found):
    return data.load(stored(store, found.runs[0], "data", "data.safetensors"))


def untimed(found):
    """The results without what differs from run to run."""
    return [
        (each.labels, {name: value for name, value in each.metrics.items() if name != "step time"})
        for each in found.results
    ]


def test_compare(compared, store):
    assert {(each.labels["bits"], each.labels["method"]) for each in compared.summaries} == {
        (bits, method) for bits in (2, 4) for method in (LABELS_ONLY, "softened-softmax")
    }
    assert [each.labels["seed"] for each in compared.runs] == [3, 4, 3, 4]
    assert 0.3 < compared.teacher <= 1 and compared.metric == "accuracy"
    test = dataset(store, compared).test
    for run in compared.runs:
        network = integer.load(stored(store, run, "export", "frozen.safetensors"))
        (result,) = (each for each in compared.results if each.labels == run.labels)
        assert result.metrics["score"] == accuracy(network.forward(test.x), test.y)
        assert all(
            len(np.unique(layer.operation.weights)) <= 2 ** run.labels["bits"] for layer in network.layers
        )
    assert len({run.stages["teacher"] for run in compared.runs}) == 1
    assert len({run.stages["baseline"] for run in compared.runs}) == 4


def test_what_is_finished_is_not_run_again(compared, done, monkeypatch):
    monkeypatch.setattr(engine._Job, "run", lambda *_: pytest.fail("run again"))
    assert done("compare", **COMPARE) == compared
    fewer = done("compare", **COMPARE | {"bits": [2]})
    assert fewer.results == tuple(each for each in compared.results if each.labels["bits"] == 2)


def test_another_method_costs_its_own_students_only(compared, done, monkeypatch):
    ran, run = [], engine._Job.run
    monkeypatch.setattr(
        engine._Job, "run", lambda job, repair: ran.append(job.stage.name) or run(job, repair)
    )
    done("compare", **COMPARE | {"bits": [2], "methods": ["dist", "softened-softmax"]})
    assert ran == ["distill", "export"] * 2


def test_several_processes_give_the_same(compared, tmp_path):
    asked = build("compare", **COMPARE | {"bits": [2]})
    other = perform(asked, Store(tmp_path / "store"), tmp_path, Silent(), workers=2)
    assert untimed(other) == [each for each in untimed(compared) if each[0]["bits"] == 2]


@pytest.mark.slow
def test_a_cluster_gives_the_same(compared, tmp_path):
    from distributed import LocalCluster

    asked = build("compare", **COMPARE | {"bits": [4]})
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        other = perform(asked, Store(tmp_path / "store"), tmp_path, Silent(), cluster=address)
    assert untimed(other) == [each for each in untimed(compared) if each[0]["bits"] == 4]


def test_no_cluster_there(store, compared, tmp_path):
    with pytest.raises(ToolError, match=r"--cluster: tcp://127\.0\.0\.1:1 cannot be reached"):
        perform(build("compare", **COMPARE), store, tmp_path, Silent(), cluster="tcp://127.0.0.1:1")


def test_a_killed_study_goes_on(compared, tmp_path):
    """SIGKILL in the middle: what was finished is not run again, and the results are the same."""
    file = tmp_path / "tiny.toml"
    asked = COMPARE | {"bits": [2]}
    keys = "\n".join(map(line, asked, asked.values()))
    file.write_text(TINY.format(name="tiny") + f'[study]\nkind = "compare"\n{keys}')
    command = ("study", file, "--store", tmp_path / "store", "--out", tmp_path / "out")
    argv = [sys.executable, "-m", "pipeline", "-q", *map(str, command)]
    killed = subprocess.Popen(argv, start_new_session=True, stdout=subprocess.DEVNULL)
    manifests = tmp_path / "store" / "manifests"
    deadline = time.monotonic() + 240
    while len(list(manifests.glob("*.json"))) < 4:
        assert killed.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    before = {path: path.stat().st_mtime_ns for path in manifests.glob("*.json")}
    assert not (tmp_path / "out" / "tiny" / "study.json").exists()
    again = retort("-q", *command, "--json")
    assert again.returncode == 0, again.stderr[-2000:]
    assert before == {path: path.stat().st_mtime_ns for path in before}
    found = STUDY.load(tmp_path / "out" / "tiny")
    assert json.loads(again.stdout) == STUDY.plain(found)
    assert untimed(found) == [each for each in untimed(compared) if each[0]["bits"] == 2]


def test_a_run_that_fails_is_named(store, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ConfigError("wrong; give another")

    monkeypatch.setattr(Recipe, "train", fail)
    with pytest.raises(ConfigError, match=r"bits 3, method softened-softmax, seed \d: wrong"):
        perform(build("compare", **COMPARE | {"bits": [3]}), store, tmp_path, Silent())


def test_few_samples_are_all_that_a_method_sees(done, monkeypatch):
    seen, original = [], Munge.one_pass
    monkeypatch.setattr(
        Munge, "one_pass", lambda own, real, seed: seen.append(len(real)) or original(own, real, seed)
    )
    done("compare", methods=["munge"], seeds=2, epochs=1, samples=40)
    assert set(seen) == {40}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"seeds": 1}, r"study\.seeds: is 1; give at least 2"),
        ({"epochs": 0}, r"study\.epochs"),
        ({"bits": [9]}, r"study\.bits: is \[9\]; give widths from 1 to 8"),
        ({"methods": ["softened-softmx"]}, "did you mean 'softened-softmax'"),
        ({"methods": ["training+training"]}, "more than one source"),
        ({"methods": ["nothing-like-it"]}, "retort methods"),
    ],
)
def test_wrong_keys_are_refused(keys, message):
    with pytest.raises(ConfigError, match=message):
        build("compare", **keys)


def test_methods_that_do_not_fit_are_left_out_of_all(compared, done, monkeypatch):
    monkeypatch.setattr(
        "pipeline.studies.compare.every_method", lambda task: ["softened-softmax", "attention-transfer"]
    )
    every = done("compare", **COMPARE | {"methods": ["all"]})
    assert every.summaries == compared.summaries and "more than one pixel" in every.notes[0]
    with pytest.raises(ConfigError, match="more than one pixel"):
        done("compare", **COMPARE | {"methods": ["attention-transfer"]})


def test_every_method_makes_a_build():
    own = build("compare")
    names = every_method(own.task)
    plain = {HardLabels.method, "training", "one-step", "specialist"}
    assert set(names) == {*METHODS, *SOURCES, *SCHEDULES} - plain - {"detection"}
    for name in names:
        recipe = with_values(own, distilled(name)).distill.recipe()
        assert any(part.whole for _, part in recipe.loss.parts)
    joined = with_values(own, distilled("softened-softmax+logit-matching+prune")).distill.recipe()
    assert [part.method for _, part in joined.loss.parts] == ["softened-softmax", "logit-matching"]
    assert joined.schedule.kind == "prune"


def test_at_bits():
    layers = """layers = [
        { kind = "conv", outputs = 4, kernel = 3, weight_bits = 4, activation_bits = 4 },
        { kind = "max-pool", size = 2 },
        { kind = "residual", activation_bits = 4, body = [
            { kind = "conv", outputs = 4, kernel = 3, padding = 1, weight_bits = 4, activation_bits = 4 }] },
        { kind = "average-pool" },
        { outputs = 10, weight_bits = 4 },
    ]"""
    start, end = TINY.index("layers = ["), TINY.index("]\nepochs = 6") + 1
    own = build("compare", [(TINY[start:end].replace("{{", "{").replace("}}", "}"), layers)])
    changed = with_values(own, {"student.layers": at_bits(own, 2)}).student.topology((8, 8, 1))
    conv, _, residual, pool, dense = changed.layers
    assert conv.weight_bits == conv.activation_bits == dense.weight_bits == residual.activation_bits == 2
    assert residual.body[0].weight_bits == residual.body[0].activation_bits == 2
    assert pool.activation_bits is dense.activation_bits is None


def test_temperature(done, store):
    found = done("temperature", temperatures=[20.0, 0.5, 20.0], seeds=2, epochs=1)
    rows = {each.labels["temperature"]: each for each in found.summaries}
    assert set(rows) == {0.5, 20.0, LABELS_ONLY}
    best = max((0.5, 20.0), key=lambda each: rows[each].metrics["validation"].mean)
    assert found.notes == (
        f"Best on validation: temperature {best:g}, {rows[best].metrics['validation'].mean:.2%}.",
    )
    for run in found.runs:
        recorded = json.loads(stored(store, run, "distill", "training.json").read_text())["student"]
        (result,) = (each for each in found.results if each.labels == run.labels)
        assert result.metrics["validation"] == recorded["epochs"][recorded["chosen"]]["validation_score"]


def test_of_equal_temperatures_the_lowest_is_best(done):
    """The teacher's share in the loss is nothing, hence so is its temperature's."""
    plain = [("hard_label_weight = 0.2", "hard_label_weight = 1.0")]
    asked = build("temperature", plain)
    losses = [at_temperature(asked, each)[0] for each in (9.0, 2.0)]
    assert [each.loss.temperature for each in losses] == [9.0, 2.0]
    assert all(each.loss.hard_label_weight == 1.0 for each in losses)
    from pipeline.artefacts.study import Result

    results = [
        Result({"temperature": each, "seed": seed}, {"validation": 0.5})
        for each in (9.0, 2.0)
        for seed in (1, 2)
    ]
    assert "temperature 2," in asked.study.notes(asked, None, results)[0]


def test_losses_without_a_temperature_are_refused():
    plain = with_values(build("temperature"), {"distill.losses": [{"method": "hard-labels"}]})
    with pytest.raises(ConfigError, match="none has a temperature"):
        at_temperature(plain, 2.0)


def test_missing_class(done, store):
    found = done("missing-class", label=3, seeds=2, epochs=2)
    held = dataset(store, found)
    assert found.notes[0].endswith(f"the test split has {np.sum(held.test.y == 3)} samples of it.")
    results = {(each.labels["student"], each.labels.get("seed")): each.metrics for each in found.results}
    for run in found.runs:
        seed = run.labels["seed"]
        network = integer.load(stored(store, run, "export", "frozen.safetensors"))
        logits = network.forward(held.test.x) * network.logit_scale
        assert results["as trained", seed]["accuracy"] == accuracy(logits, held.test.y)
        logits[:, 3] += results["corrected", seed]["offset"]
        assert results["corrected", seed]["accuracy"] == accuracy(logits, held.test.y)
        mine = logits[held.test.y == 3].argmax(axis=1) == 3
        assert results["corrected", seed]["of the class"] == np.mean(mine)
    corrected = next(each for each in found.summaries if each.labels["student"] == "corrected")
    assert corrected.differences["of the class"].mean >= 0
    assert 0 <= results["teacher", None]["of the class"] <= 1


def test_soft_targets(done, store):
    found = done("soft-targets", share=0.2, seeds=2, epochs=2)
    run, held = found.runs[0], dataset(store, found)
    whole = transfer.load(stored(store, run, "teacher", "transfer.safetensors"))
    rng, taken = np.random.default_rng(3), []
    for label in range(10):
        (rows,) = np.nonzero(held.train.y == label)
        taken.append(rng.permutation(rows)[: max(1, round(0.2 * len(rows)))])
    first = np.sort(np.concatenate(taken))
    rows = np.concatenate([first + start for start in range(0, len(whole.split), len(held.train))])
    topology = build("soft-targets").student.topology(held.input_shape)
    results = {each.labels["targets"]: each for each in found.results if each.labels["seed"] == 3}
    for targets, stage, name in (("hard", "baseline", "baseline"), ("soft", "distill", "student")):
        network = freeze(load_student(topology, stored(store, run, stage, f"{name}.safetensors")))
        seen = accuracy(network.forward(whole.split.x[rows]), whole.split.y[rows])
        assert results[targets].metrics["train"] == seen
        assert results[targets].metrics["score"] == accuracy(network.forward(held.test.x), held.test.y)
    soft = next(each for each in found.summaries if each.labels["targets"] == "soft")
    differences = [
        found.results[at + 1].metrics["score"] - found.results[at].metrics["score"] for at in (0, 2)
    ]
    assert soft.differences["score"].mean == pytest.approx(np.mean(differences))


def test_a_share_of_the_data_is_learned_in_as_many_steps(store, compared):
    asked, held = build("soft-targets"), dataset(store, compared)
    batch, samples = 64, len(held.train) * asked.teacher.views
    for share in (0.03, 0.2, 1.0):
        epochs = replace(asked.study, share=share).steps(asked, held)
        part = max(1, int(share * samples) // batch)
        whole = 6 * (samples // batch)
        assert (epochs - 1) * part < whole <= epochs * part
    assert TrainingData(0.03)  # the least share that the source takes


def test_robustness(done, store):
    found = done("robustness", fgsm=[1], pgd_steps=2, samples=1000)
    held = dataset(store, found)
    kinds = list(dict.fromkeys((each.labels["perturbation"], each.labels["size"]) for each in found.results))
    noise = [("noise", sigma) for sigma in (0.5, 1.0, 2.0)]
    assert kinds == [("clean", 0), *noise, ("fgsm", 1), ("pgd", 1), ("pgd", 2)]
    scores = {
        (each.labels["perturbation"], each.labels["size"], each.labels["student"]): each.metrics["accuracy"]
        for each in found.results
    }
    topology = build("robustness").student.topology(held.input_shape)
    for name, stage, file in (("distilled", "distill", "student"), (LABELS_ONLY, "baseline", "baseline")):
        student = load_student(topology, stored(store, found.runs[0], stage, f"{file}.safetensors"))
        network = freeze(student)
        assert scores["clean", 0, name] == accuracy(network.forward(held.test.x), held.test.y) > 0.5
        attacked = accuracy(network.forward(fgsm(student, held.test, 1)), held.test.y)
        assert scores["fgsm", 1, name] == attacked
        assert scores["pgd", 2, name] < scores["clean", 0, name] - 0.2
    assert found.summaries[0].metrics["accuracy"].interval is None
    assert found.notes == (
        f"On {len(held.test)} test samples; sizes are in input steps, inputs go up to 16.",
    )


@pytest.mark.parametrize(
    ("kind", "keys", "changes", "message"),
    [
        ("missing-class", {"label": 10}, [], r"study\.label: no class 10 .* give 0 to 9"),
        (
            "missing-class",
            {"label": 1},
            [
                (
                    "hard_label_weight = 0.2 }}]".replace("}}", "}"),
                    'hard_label_weight = 0.0 }]\ndata = { source = "munge" }',
                )
            ],
            "no labels",
        ),
        (
            "soft-targets",
            {},
            [
                (
                    'method = "softened-softmax", temperature = 3.0, hard_label_weight = 0.2',
                    'method = "hard-labels"',
                )
            ],
            "of labels alone",
        ),
        (
            "compare",
            {},
            [("outputs = 16,", "outputs = [8, 16],"), ("[compile]", "[size]\n[compile]")],
            "leaves numbers open",
        ),
    ],
)
def test_builds_that_do_not_suit_are_refused(store, tmp_path, monkeypatch, kind, keys, changes, message):
    monkeypatch.setattr("pipeline.studies.study._settled", lambda build, *_: build)
    with pytest.raises(ConfigError, match=message):
        perform(build(kind, changes, **keys), store, tmp_path, Silent())


def test_a_study_of_its_own_kind_of_student(monkeypatch):
    with pytest.raises(ConfigError, match="study: missing; add it"):
        study_of(loaded(TINY.format(name="tiny")))
    text = TINY.format(name="tiny")
    start, end = text.index("[student]"), text.index("[compile]")
    tree = f"{text[:start]}[student]\nkind = 'tree'\n{text[end:]}"
    tree = tree.replace("target_cycles = 128", 'output = "label"')
    with pytest.raises(ConfigError, match="trains students of kind 'quantized', not 'tree'"):
        study_of(loaded(f'{tree}[study]\nkind = "compare"\n'))
    asked = build("robustness")
    monkeypatch.setattr(type(asked.task), "kind", "toy")
    with pytest.raises(ConfigError, match="'robustness' is for classification, not for toy"):
        study_of(asked)


def test_open_sizes_are_chosen_once(store, tmp_path):
    changes = [
        ("outputs = 16,", "outputs = [8, 16],"),
        ("[compile]", "[size]\ntrials = 2\nepochs = 1\n[compile]"),
    ]
    found = perform(build("temperature", changes, seeds=2, epochs=1), store, tmp_path, Silent())
    shapes = set()
    for run in found.runs:
        assert "size" not in run.stages
        network = integer.load(stored(store, run, "export", "frozen.safetensors"))
        shapes.add(network.layers[0].operation.weights.shape)
    assert len(shapes) == 1


def test_a_study_added_from_outside(store, tmp_path, monkeypatch):
    class Toy(Compare):
        kind = "toy"

    monkeypatch.setitem(STUDIES, "toy", Toy)
    found = perform(build("toy", **COMPARE), store, tmp_path, Silent())
    assert found.study["kind"] == "toy" and found.teacher > 0.3
