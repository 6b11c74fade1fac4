import json

import numpy as np
import pytest
from typer.testing import CliRunner

from models import data
from models.distill.training.student_training import load_student
from models.metrics import accuracy
from models.robustness import fgsm
from models.students.freeze import freeze
from pipeline.cli.app import app
from pipeline.config import file as config
from tests.conftest import retort


@pytest.fixture(scope="module")
def found(tiny_file, tmp_path_factory):
    """What the command says of the tiny build, whose stages it has to run; and the store."""
    store = tmp_path_factory.mktemp("robustness") / "store"
    done = retort("robustness", tiny_file, "--store", store, "--fgsm", 1, "--pgd-steps", 3, "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout), store


def test_numbers_are_those_of_the_built_students(found, tiny_file, tmp_path):
    rows = found[0]["rows"]
    done = retort("build", tiny_file, "--until", "distill", "--store", found[1], "--out", tmp_path)
    assert done.stdout.startswith("tiny: 0 of 4 stages built")
    build = config.load(tiny_file)
    dataset = data.load(tmp_path / "tiny" / "data.safetensors")
    topology = build.student.topology(dataset.input_shape)
    assert found[0]["samples"] == len(dataset.test) and found[0]["greatest_input"] == dataset.train.x.max()
    attacked = next(row for row in rows if row["perturbation"] == "fgsm")
    for name in ("student", "baseline"):
        student = load_student(topology, tmp_path / "tiny" / f"{name}.safetensors")
        network = freeze(student)
        assert rows[0][name] == accuracy(network.forward(dataset.test.x), dataset.test.y) > 0.5
        assert attacked[name] == accuracy(network.forward(fgsm(student, dataset.test, 1)), dataset.test.y)


def test_every_kind_is_there_and_attacks_cost_accuracy(found):
    rows = found[0]["rows"]
    kinds = [(row["perturbation"], row["size"]) for row in rows]
    assert kinds == [
        ("clean", 0),
        *(("noise", sigma) for sigma in (0.5, 1.0, 2.0)),
        ("fgsm", 1),
        ("pgd", 1),
        ("pgd", 2),
    ]
    clean, worst = rows[0], rows[-1]
    assert all(worst[name] < clean[name] - 0.2 for name in ("student", "baseline"))


def test_the_table_and_fewer_samples(found, tiny_file):
    done = retort("-q", "robustness", tiny_file, "--store", found[1], "--samples", 40, "--pgd", 3)
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith("accuracy on 40 test samples;") and "up to 16" in lines[0]
    assert lines[1].split() == ["perturbation", "student", "not", "distilled"]
    titles = [line.split("  ")[0] for line in lines[2:]]
    assert titles[0] == "clean" and titles[1] == "noise, sigma 0.5" and titles[-1] == "PGD, eps 3"
    shares = np.array([[float(cell.rstrip("%")) for cell in line.split()[-2:]] for line in lines[2:]])
    assert (shares >= 0).all() and (shares <= 100).all()
    assert np.allclose(shares % 2.5, 0)  # of 40 samples


def test_bad_sizes_are_refused_before_anything_runs(tiny_file, tmp_path):
    for option in (("--noise", -1), ("--fgsm", 300), ("--pgd-steps", 0)):
        arguments = ("robustness", tiny_file, "--store", tmp_path / "store", *option)
        failed = CliRunner().invoke(app, list(map(str, arguments)))
        assert failed.exit_code == 2 and failed.stderr.count("\n") == 1
    assert not (tmp_path / "store" / "manifests").exists()
