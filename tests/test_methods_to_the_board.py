"""Students of every family of methods, by `retort build`, to a bitstream, bit for bit."""

import pytest

from tests.conftest import TINY, build

OWN = """losses = [{ method = "softened-softmax", temperature = 3.0, hard_label_weight = 0.2 }]
temperatures = [2.0, 4.0]
sweep_epochs = 1"""

FAMILIES = {
    "features": """losses = [
    { method = "softened-softmax" }, { method = "hints" }, { method = "similarity-preserving" },
]
schedule = { kind = "fitnets", hint_epochs = 1 }""",
    "relations": """losses = [{ method = "dist" }, { method = "rkd", weight = 0.1 }]
schedule = { kind = "qkd" }""",
    "pseudo-data": """losses = [{ method = "sqakd" }]
data = { source = "munge", multiple = 1 }
schedule = { kind = "prune", sparsity = 0.3 }""",
    "zero-shot": """losses = [{ method = "logit-standardization", hard_label_weight = 0.0 }]
data = { source = "data-impressions", count = 400 }
schedule = { kind = "born-again" }""",
    "teacher-free": """losses = [{ method = "virtual-teacher" }, { method = "robust", weight = 0.1 }]
schedule = { kind = "prune-channels" }""",
}


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_family(family, tmp_path):
    file = tmp_path / f"{family}.toml"
    text = TINY.format(name=family)
    assert text.count(OWN) == 1
    file.write_text(text.replace(OWN, FAMILIES[family]))
    built = build(file, tmp_path)
    for rung in ("onnxruntime", "golden", "rtl", "netlist", "board"):
        row = built.rung(rung)
        assert row["passed"] and row["mismatches"] == 0, row
    assert built.json("metrics.json")["student"] > 0.15
