import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import CapacityError, ConfigError, StoreError
from hw.dataflow.fold import Fold
from models.data import Dataset, Split
from models.distill import HardLabels
from models.distill.training.transfer import TransferSet
from models.training import TrainingConfig
from pipeline.config.build import Build
from pipeline.config.file import parse
from pipeline.config.student import StudentConfig
from pipeline.sizing import assess, require_feasible
from pipeline.sizing.result import load_sized, size_of, sized
from pipeline.sizing.run import Scores, size
from pipeline.sizing.search import ASKS, SearchSpace, best, search
from pipeline.stages import stages_of

GOOD = tomllib.loads((Path(__file__).parents[1] / "good.toml").read_text())
SHAPE = (4, 4, 1)
LAST = {"outputs": 3, "weight_bits": 3}
OPEN: list[Any] = [{"outputs": [4, 8, 64], "weight_bits": [2, 3], "activation_bits": 2}, LAST]
SLOW = {"target_cycles": 64}


def build(layers: list[Any], size: object = SLOW, compile: object = None, **board: object) -> Build:
    raw = {**GOOD, "student": {**GOOD["student"], "layers": layers}, "compile": compile or {}}
    raw["board"] = {"name": "icebreaker", **board}
    if size is not None:
        raw["size"] = size
    return parse(raw, "test")


def closed(outputs: int = 8) -> list[Any]:
    return [{"outputs": outputs, "weight_bits": 3, "activation_bits": 2}, LAST]


@pytest.mark.parametrize(
    ("size", "compile", "message"),
    [
        (
            SLOW,
            {"target_cycles": 5},
            "compile.target_cycles and size.target_cycles are set; give one of them",
        ),
        (
            {"frames_per_second": 5.0, **SLOW},
            {},
            "size.frames_per_second and size.target_cycles are set",
        ),
        ({"headroom": 1.0, **SLOW}, {}, "size.headroom: input should be less than 1"),
        ({"serch": "auto", **SLOW}, {}, "size.serch: unknown key; did you mean 'search'?"),
    ],
)
def test_rates_are_checked(size: object, compile: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(closed(), size, compile)
    assert message in str(caught.value)


def test_open_numbers_want_a_size_table_and_a_rate() -> None:
    with pytest.raises(
        ConfigError, match=r"student.layers\[0\].outputs is left open; give one value, or a \[size\]"
    ):
        build(OPEN, None, {"target_cycles": 64})
    with pytest.raises(ConfigError, match=r"compile\.fold: student\.layers"):
        build(OPEN, {}, {"fold": [{"pe": 1, "simd": 1}] * 2})


def test_assessment_of_a_closed_student() -> None:
    config = build(closed())
    found = assess(config.student.topology(SHAPE), config)
    assert found.fits
    assert found.target == 64
    assert found.estimate.interval <= 64
    assert [limit.name for limit in found.limits] == [
        "luts",
        "block_rams",
        "single_port_rams",
        "dsps",
        "cycles",
    ]
    assert found.limits[0].title == "logic cells"
    luts = next(limit for limit in found.limits if limit.name == "luts")
    assert (luts.available, luts.budget) == (5280, 4752)
    assert luts.need == round(found.total.luts) > round(found.estimate.total.luts)


def test_rate_in_frames_a_second() -> None:
    config = build(closed(), {"frames_per_second": 100_000.0})
    assert assess(config.student.topology(SHAPE), config).target == 120


def refusal(size: object, layers: list[Any] | None = None, **board: object) -> str:
    config = build(layers or closed(), size, **board)
    with pytest.raises(CapacityError) as caught:
        require_feasible(config, SHAPE)
    assert caught.value.exit_code == 10
    return str(caught.value)


@pytest.mark.parametrize("name", ["icebreaker", "ulx3s-85f", "pynq-z1"])
def test_more_frames_than_cycles_are_refused(name: str) -> None:
    text = refusal({"frames_per_second": 1e9}, name=name)
    assert "a core takes a frame a cycle at most" in text
    assert f"with this student {name} reaches" in text


@pytest.mark.parametrize("board", [{}, {"shell": "parallel"}, {"name": "pynq-z1"}])
def test_rate_that_is_named_can_be_had_and_no_higher_one(board: dict[str, object]) -> None:
    text = refusal({"frames_per_second": 9e6 if "name" not in board else 9e7}, **board)
    rate = float(text.split(" reaches ")[1].split()[0].replace(",", ""))
    for asked, fits in ((rate, True), (rate * 1.05 + 1, False)):
        config = build(closed(), {"frames_per_second": asked}, **board)
        assert assess(config.student.topology(SHAPE), config).fits is fits


def test_rate_that_a_larger_student_reaches() -> None:
    text = refusal({"target_cycles": 4}, closed(64), name="icebreaker")
    assert "logic cells, the budget of icebreaker" in text and "limited by the link" in text


def test_serial_link_limits_what_a_host_sees() -> None:
    """16 bytes in and 3 of 16 bits out, with header and CRC both ways."""
    config = build(closed(), {"frames_per_second": 20_000.0})
    found = assess(config.student.topology(SHAPE), config)
    assert not found.fits and found.binding.name == "baud"
    assert found.pace.limited_by == "link"
    text = refusal({"frames_per_second": 20_000.0})
    assert "the link limits: 20,000 frames/s take" in text
    assert f"{found.binding.need:,} baud, or shell 'parallel' with" in text
    paced = build(closed(), {"target_cycles": 600})
    assert assess(paced.student.topology(SHAPE), paced).fits


def test_frames_beyond_the_serial_format_are_refused() -> None:
    layers = [{"kind": "max-pool", "size": 8}, *closed()]
    config = build(layers, {"target_cycles": 200_000}, name="ulx3s-85f")
    found = assess(config.student.topology((272, 272, 1)), config)
    assert found.binding.name == "frame_bytes" and not found.fits


def test_what_fits_at_a_rate_fits_at_every_lower_one() -> None:
    """Two bits, 16 hidden: no folds suit four cycles, but without any it takes less."""
    layers = [{"outputs": 16, "weight_bits": 2, "activation_bits": 2}, {"outputs": 10, "weight_bits": 2}]
    found = []
    for target in (1, 2, 3, 4, 6, 8, 16, 64, 512):
        config = build(layers, {"target_cycles": target, "headroom": 0.0})
        found.append(assess(config.student.topology((8, 8, 1)), config))
    fitting = [each.fits for each in found]
    assert fitting == sorted(fitting) and fitting[-1]


def test_folds_by_hand() -> None:
    config = build(closed(), None, {"fold": [{"pe": 2, "simd": 4}, {"pe": 1, "simd": 2}]})
    found = assess(config.student.topology(SHAPE), config)
    assert found.folds == (Fold(2, 4), Fold(1, 2))
    assert found.target is None
    few = build(closed(), None, {"fold": [{"pe": 2, "simd": 4}]})
    with pytest.raises(ConfigError, match=r"compile\.fold: 1 folds for 2 layers: layer0, layer1"):
        assess(few.student.topology(SHAPE), few)


def test_weights_beyond_block_ram_are_for_single_port_ram() -> None:
    """50 KB of weights, which the parallel shell cannot load."""
    layers = [{"outputs": 128, "weight_bits": 4, "activation_bits": 2}, LAST]
    serial, parallel = (build(layers, {"target_cycles": 40000}, shell=name) for name in ("uart", "parallel"))
    found = assess(serial.student.topology((28, 28, 1)), serial)
    assert found.fits
    limit = next(limit for limit in found.limits if limit.name == "single_port_rams")
    assert 0 < limit.need <= limit.available == 4
    refused = assess(parallel.student.topology((28, 28, 1)), parallel)
    assert not refused.fits and refused.binding.name == "block_rams"


def test_single_port_ram_makes_a_file_of_weights() -> None:
    uart, parallel = (
        next(stage for stage in stages_of(built) if stage.name == "compile")
        for built in (build(closed(), shell=name) for name in ("uart", "parallel"))
    )
    assert "weights.bin" in uart.outputs and "weights.bin" not in parallel.outputs
    assert uart.config(build(closed())) != parallel.config(build(closed()))


def test_over_budget_names_limit_and_layer() -> None:
    config = build(closed(1024), {"target_cycles": 16})
    with pytest.raises(CapacityError) as caught:
        require_feasible(config, SHAPE)
    text = str(caught.value)
    assert "the budget of icebreaker is" in text
    assert "layer0 takes most" in text or "layer1 takes most" in text
    require_feasible(build(closed()), SHAPE)


def test_feasible_where_the_least_choice_is() -> None:
    require_feasible(build(OPEN), SHAPE)
    with pytest.raises(CapacityError, match="the budget of icebreaker is"):
        require_feasible(build([{**OPEN[0], "outputs": [512, 1024]}, LAST], {"target_cycles": 8}), SHAPE)


def test_pins_of_the_parallel_shell_are_a_limit() -> None:
    layers = [{"kind": "conv", "outputs": 4, "kernel": 3, "weight_bits": 2, "activation_bits": 2}, LAST]
    config = build(layers, {"target_cycles": 600}, shell="parallel")
    found = assess(config.student.topology((16, 16, 1)), config)
    pins = next(limit for limit in found.limits if limit.name == "stream_pins")
    assert pins.need == 5  # 256 bytes in two beats each, and one bit out
    assert found.port is not None
    assert found.pace.frames_per_second <= 12e6 / 256


def test_space_and_its_rejections() -> None:
    space = SearchSpace(build(OPEN, {"target_cycles": 4}), SHAPE)
    assert space.count == 6
    fitting = [chosen for chosen in space.candidates() if space.fitting(chosen)]
    assert len(fitting) + sum(space.rejected.values()) == 6
    assert all(space.excess(chosen) == 0 for chosen in fitting)


def test_layers_left_out_count_once() -> None:
    layers = [{"outputs": 8, "weight_bits": [2, 3], "activation_bits": 2, "optional": True}, LAST]
    space = SearchSpace(build(layers), SHAPE)
    assert space.count == 4
    assert len({tuple(space.canonical(chosen).items()) for chosen in space.candidates()}) == 3


@pytest.mark.parametrize("kind", ["auto", "optuna"])
def test_search_takes_the_best_that_fits(kind: str) -> None:
    config = build(OPEN, {**SLOW, "search": kind, "trials": 8})
    asked: list[str] = []

    def score(chosen: object, assessment: object) -> float:
        asked.append(json.dumps(chosen, sort_keys=True))
        return assessment.topology.products / 1e6  # type: ignore[attr-defined,no-any-return]

    space = SearchSpace(config, SHAPE)
    found, how = search(space, config.size, score, 1, lambda *_: None)  # type: ignore[arg-type]
    assert how == ("enumerate" if kind == "auto" else "optuna")
    greatest = max(each.assessment.topology.products for each in found)
    assert best(found).assessment.topology.products == greatest
    assert all(each.assessment.fits for each in found)
    again: list[str] = list(asked)
    asked.clear()
    search(SearchSpace(config, SHAPE), config.size, score, 1, lambda *_: None)  # type: ignore[arg-type]
    assert asked == again
    assert len(asked) <= ASKS * 8


def test_search_of_what_never_fits() -> None:
    config = build([{**OPEN[0], "outputs": [512, 1024]}, LAST], {"target_cycles": 8, "search": "enumerate"})
    with pytest.raises(
        CapacityError, match="no student fits; of 4 combinations were rejected 4 by logic cells"
    ):
        search(SearchSpace(config, (16, 16, 1)), config.size, lambda *_: 0.0, 1, lambda *_: None)  # type: ignore[arg-type]


def test_enumeration_has_a_limit() -> None:
    layers = [{"activation_bits": [2, 3, 4]}] * 3
    config = build([*layers, LAST], {**SLOW, "search": "enumerate"})
    with pytest.raises(ConfigError, match="too many to enumerate, 1000 is the most"):
        search(SearchSpace(config, SHAPE), config.size, lambda *_: 0.0, 1, lambda *_: None)  # type: ignore[arg-type]


def test_journal_is_shared_by_runs(tmp_path: Path) -> None:
    journal = tmp_path / "search" / "journal.log"
    config = build(OPEN, {**SLOW, "search": "optuna", "trials": 3, "journal": str(journal)})
    asked: list[object] = []

    def score(chosen: object, assessment: object) -> float:
        asked.append(chosen)
        return 0.5

    search(SearchSpace(config, SHAPE), config.size, score, 1, lambda *_: None)  # type: ignore[arg-type]
    before = len(asked)
    found, _ = search(SearchSpace(config, SHAPE), config.size, score, 1, lambda *_: None)  # type: ignore[arg-type]
    assert journal.is_file()
    assert len(asked) == before
    assert len(found) == 3


def test_scores_survive_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "scores"
    Scores(path).keep("a=1", 0.5)
    with path.open("a") as file:
        file.write('{"candidate": "b=1", "accu')
    scores = Scores(path)
    assert scores.known == {"a=1": 0.5}
    scores.keep("c=1", 0.25)
    assert Scores(path).known == {"a=1": 0.5, "c=1": 0.25}


def problem(samples: int = 96) -> tuple[Dataset, TransferSet]:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, samples)
    x = (rng.integers(0, 80, (samples, 16)) + 80 * y[:, None]).astype(np.uint8)
    split = Split(x, y)
    dataset = Dataset("made", 3, SHAPE, split, split, split)
    return dataset, TransferSet(split, rng.normal(size=(1, samples, 3)).astype(np.float32))


def test_part_of_the_transfer_set() -> None:
    _, examples = problem()
    part = examples.part(10, 1)
    assert (len(part.split), part.logits.shape) == (10, (1, 10, 3))
    assert examples.part(200, 1) is examples


def test_sizing_trains_what_fits_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    dataset, examples = problem()
    config = build(OPEN, {**SLOW, "epochs": 1, "train_samples": 64})
    training = TrainingConfig(epochs=9, batch_size=16, learning_rate=1e-2, weight_decay=0.0, seed=1)
    arguments = (config, dataset, examples, HardLabels(), training, tmp_path / "partial")
    found = size(*arguments, lambda *_: None)
    search_details = found.details["search"]
    assert len(search_details["scored"]) + sum(search_details["rejected"].values()) == 6
    (scores,) = (tmp_path / "partial").iterdir()
    lines = scores.read_text().splitlines()
    scores.write_text("\n".join(lines[: len(lines) // 2]))
    again = size(*arguments, lambda *_: None)
    assert (again.chosen, again.folds) == (found.chosen, found.folds)
    assert again.details == found.details

    found.save(tmp_path / "sized.json")
    loaded = load_sized(tmp_path / "sized.json")
    assert loaded == found
    assert loaded.topology(config, SHAPE).steps[0].out_shape[2] == found.chosen["layers[0].outputs"]
    keys = {step["key"] for step in found.details["steps"]}
    assert "target_cycles" in keys


def test_sizing_of_a_closed_student_checks_the_budget_alone(tmp_path: Path) -> None:
    dataset, examples = problem()
    training = TrainingConfig(epochs=1, batch_size=16, learning_rate=1e-2, weight_decay=0.0, seed=1)
    found = size(
        build(closed()), dataset, examples, HardLabels(), training, tmp_path / "partial", lambda *_: None
    )
    assert found.chosen == {}
    assert [layer["name"] for layer in found.details["layers"] if layer["kind"] == "MatrixVector"] == [
        "layer0",
        "layer1",
    ]
    assert found.details["fits"]
    assert not (tmp_path / "partial").exists()


def test_outcome_tells_what_one_step_more_costs() -> None:
    space = SearchSpace(build(OPEN), SHAPE)
    chosen = {"layers[0].outputs": 4, "layers[0].weight_bits": 2}
    found = space.fitting(chosen)
    assert found is not None
    steps = {step["key"]: step for step in sized(space, chosen, found).details["steps"]}
    assert steps["student.layers[0].outputs"]["to"] == 8
    more = steps["student.layers[0].outputs"]
    assert more["luts"] > 0 or more["block_rams"] > 0  # wider words may move from cells to block RAM
    assert steps["student.layers[0].weight_bits"]["fits"]
    assert steps["target_cycles"]["to"] == 32


def test_damaged_sizing(tmp_path: Path) -> None:
    path = tmp_path / "sized.json"
    path.write_text('{"folds": 3}')
    with pytest.raises(StoreError, match="holds no sizing"):
        load_sized(path)


def test_amd_board_is_sized_by_what_finns_layers_take() -> None:
    found = assess(build(closed(), name="pynq-z1").student.topology(SHAPE), build(closed(), name="pynq-z1"))
    assert found.fits and found.target == 64 and found.estimate.interval <= 64
    assert [limit.name for limit in found.limits] == [
        "luts", "flip_flops", "block_rams", "dsps", "stream_bits", "cycles"
    ]  # fmt: skip
    assert found.estimate.family.uses_vivado
    assert found.total.dsps == sum(-(-fold.pe // 4) * fold.simd for fold in found.folds)


def test_dma_of_an_amd_board_limits_the_rate() -> None:
    """784 bytes in 32 cycles are 196 bits a cycle: more than a Zynq's port has, less than a card's."""
    for name, fits in (("pynq-z1", False), ("zcu104", False), ("u250", True)):
        config = build(closed(), {"target_cycles": 32}, name=name)
        found = assess(config.student.topology((1, 1, 784)), config)
        (stream,) = (limit for limit in found.limits if limit.name == "stream_bits")
        assert (stream.need, stream.fits) == (196, fits)


def test_binding_limit_of_an_amd_board() -> None:
    """A DSP slice takes two outputs of an input of 8 bits; all 64 outputs at once take too many."""
    layers = [{"outputs": 64, "weight_bits": 4, "activation_bits": 4}, LAST]
    config = build(
        layers, {"headroom": 0.5}, {"fold": [{"pe": 64, "simd": 16}, {"pe": 1, "simd": 8}]}, name="pynq-z1"
    )
    found = assess(config.student.topology(SHAPE), config)
    assert found.binding.name == "dsps" and found.binding.need == 32 * 16 + 8
    with pytest.raises(CapacityError, match=r"needs 520 DSPs, the budget of pynq-z1 is 110 \(220 less the"):
        found.require_fit()


@pytest.mark.parametrize("kind", ["tree", "imported"])
def test_other_kinds_of_students_have_no_folds_to_choose(kind: str) -> None:
    config = build(closed()).model_copy(update={"student": StudentConfig.model_construct(kind=kind)})
    with pytest.raises(ConfigError, match=f"of kind '{kind}' `retort build` tells what the core takes"):
        size_of(config, lambda *_: None)
