from itertools import product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hw.kernels.specs.pipelining import stages


@st.composite
def graphs(draw, most=12):
    """Operands and bits of each value of a random graph of adders, and which of them are outputs."""
    inputs = draw(st.integers(1, 3))
    operands = [[] for _ in range(inputs)]
    for value in range(inputs, inputs + draw(st.integers(0, most))):
        operands.append(draw(st.lists(st.integers(0, value - 1), min_size=1, max_size=2)))
    bits = draw(st.lists(st.integers(0, 9), min_size=len(operands), max_size=len(operands)))
    outputs = draw(st.sets(st.integers(0, len(operands) - 1), min_size=1))
    return operands, bits, outputs


def chains(operands, placed):
    """Adders that lead to each value within its stage."""
    found = []
    for value, before in enumerate(operands):
        same = [found[operand] for operand in before if placed[operand] == placed[value]]
        found.append(1 + max(same, default=0) if before else 0)
    return found


def allowed(operands, placed, adders):
    inputs_first = all(before or not placed[value] for value, before in enumerate(operands))
    in_order = all(placed[each] <= placed[value] for value, before in enumerate(operands) for each in before)
    return inputs_first and in_order and max(chains(operands, placed)) <= adders


def register_bits(operands, bits, outputs, placed, last):
    read = [last if value in outputs else stage for value, stage in enumerate(placed)]
    for value, before in enumerate(operands):
        for operand in before:
            read[operand] = max(read[operand], placed[value])
    return sum(width * (late - stage) for width, late, stage in zip(bits, read, placed, strict=True))


@settings(max_examples=100, deadline=None)
@given(graphs(), st.integers(1, 4))
def test_no_more_adders_in_a_stage_and_no_more_stages_than_that_asks_for(graph, adders):
    operands, bits, outputs = graph
    placed = stages(operands, bits, outputs, adders)
    assert allowed(operands, placed, adders)
    deepest = max(chains(operands, [0] * len(operands)))
    assert max(placed) == max(0, -(-deepest // adders) - 1)


@settings(max_examples=40, deadline=None)
@given(graphs(most=6), st.integers(1, 3))
def test_no_other_placement_has_fewer_register_bits(graph, adders):
    operands, bits, outputs = graph
    placed = stages(operands, bits, outputs, adders)
    last = max(placed)
    assume((last + 1) ** len(operands) < 20_000)
    others = product(range(last + 1), repeat=len(operands))
    fewest = min(
        register_bits(operands, bits, outputs, other, last)
        for other in others
        if allowed(operands, other, adders)
    )
    assert register_bits(operands, bits, outputs, placed, last) == fewest


@pytest.mark.parametrize(("bits", "stage"), [([4, 4, 5, 6, 9], 1), ([4, 4, 6, 5, 9], 0)])
def test_registers_go_where_values_are_narrow(bits, stage):
    """Three adders in a row, at most two in a stage: the registers are before the second or the third."""
    assert stages([[], [], [0, 1], [2], [3]], bits, {4}, 2) == [0, 0, 0, stage, 1]
