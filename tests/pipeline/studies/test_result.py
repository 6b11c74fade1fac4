"""What results come to: intervals, paired differences, verdicts, tables."""

import numpy as np
import pytest

from pipeline.artefacts.study import STUDY, Result, RunKeys, StudyResult
from pipeline.studies.base import LABELS_ONLY
from pipeline.studies.compare import Compare
from pipeline.studies.result import markdown, summaries, summarize, table, unique, write
from pipeline.studies.temperature import Temperature


def results(method, scores, **labels):
    return [
        Result({"method": method, **labels, "seed": seed}, {"score": score, "step time": 2.0})
        for seed, score in enumerate(scores)
    ]


PLAIN = results(LABELS_ONLY, (0.8, 0.82, 0.81), bits=2)
BETTER = results("b", (0.85, 0.871, 0.86), bits=2)
WORSE = results("w", (0.7, 0.719, 0.71), bits=2)
UNCLEAR = results("u", (0.8, 0.83, 0.81), bits=2)


def test_interval_is_students_t():
    found = summarize(np.array([0.9, 0.92, 0.94]))
    # t(0.975, 2) = 4.302653, standard error 0.02 / sqrt(3)
    assert found.mean == pytest.approx(0.92) and (found.least, found.greatest) == (0.9, 0.94)
    assert found.interval == pytest.approx(4.302653 * 0.02 / np.sqrt(3), rel=1e-6)
    assert summarize(np.array([0.9])).interval is None


def test_verdicts_and_ranks():
    found = summaries([*PLAIN, *WORSE, *UNCLEAR, *BETTER], Compare())
    assert [(each.labels["method"], each.verdict) for each in found] == [
        (LABELS_ONLY, "reference"),
        ("b", "better"),
        ("u", "open"),
        ("w", "worse"),
    ]
    difference = found[1].differences["score"]
    assert difference.mean == pytest.approx(0.0503333, abs=1e-6)  # paired, not of the means alone
    assert difference.interval == pytest.approx(4.302653 * np.std([0.05, 0.051, 0.05], ddof=1) / 3**0.5)
    assert not found[0].differences and found[0].count == 3


def test_bit_widths_are_ranked_apart():
    wide = [*results("u", (0.9, 0.91), bits=4), *results(LABELS_ONLY, (0.5, 0.51), bits=4)]
    found = summaries([*wide, *PLAIN, *BETTER], Compare())
    assert [(each.labels["bits"], each.labels["method"]) for each in found] == [
        (4, LABELS_ONLY),
        (4, "u"),
        (2, LABELS_ONLY),
        (2, "b"),
    ]
    assert found[1].differences["score"].mean == pytest.approx(0.4)


def test_equal_labels_are_one_result():
    assert unique([*PLAIN, *BETTER, *PLAIN]) == [*PLAIN, *BETTER]


def test_a_study_without_reference_has_no_differences():
    found = summaries([Result({"temperature": 2.0, "seed": 1}, {"score": 0.5})], Temperature())
    assert found[0].verdict == "" and not found[0].differences and found[0].labels == {"temperature": 2.0}


def test_files(tmp_path):
    study = Compare(bits=(2,), seeds=3)
    found = [*PLAIN, *BETTER, *WORSE]
    result = StudyResult(
        build="tiny",
        study={"kind": "compare", "seeds": 3},
        metric="accuracy",
        units=study.units,
        teacher=0.9,
        tools={"torch": "2.12 0123"},
        notes=("Left out: x.",),
        runs=(RunKeys({"method": "b", "seed": 0}, {"data": "00"}),),
        results=tuple(found),
        summaries=tuple(summaries(found, study)),
    )
    page = write(result, tmp_path / "tiny")
    assert STUDY.load(page.parent) == result
    lines = (page.parent / "study.md").read_text().splitlines()
    assert lines == markdown(result).splitlines()
    assert lines[0] == "tiny: kind compare, seeds 3; teacher 90.00%. Made with torch 2.12."
    assert lines[-1] == "Left out: x." and len({line.count("|") for line in lines[2:7]}) == 1
    heads, plain, better, worse = table(result)
    assert heads[:4] == ["method", "bits", "score, %", "step time, ms"]
    assert plain[:4] == [LABELS_ONLY, "2", "81.00 ± 2.48", "2.00 ± 0.00"] and plain[4] == ""
    assert better[4].startswith("**+5.03 ±") and worse[4].startswith("**-10.03 ±")
    text = page.read_text()
    assert "81.00 ± 2.48" in text and "Left out: x." in text and "<script" not in text and "**" not in text
    assert 'aria-label="better"' in text
