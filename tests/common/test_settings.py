"""Settings are held to what their annotations say."""

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Lt, MaxLen, MinLen

from common.errors import ConfigError
from common.settings import Count, Fraction, NotNegative, Part, Positive, Share, check_settings


@dataclass(frozen=True)
class Toy:
    positive: Positive = 1.0
    share: Share = 1.0
    part: Part = 1.0
    fraction: Fraction = 0.5
    count: Count = 1
    optional: Annotated[int, Ge(2)] | None = None
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.0
    numbers: Annotated[tuple[NotNegative, ...], MinLen(1), MaxLen(2)] = (0.0,)
    word: Literal["one", "two"] = "one"
    free: str = ""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"positive": 0.0}, "toy: positive is 0.0; give a number above 0, up to 1e+09"),
        ({"positive": float("nan")}, "positive is nan"),
        ({"positive": float("inf")}, "positive is inf"),
        ({"share": 1.5}, "share is 1.5; give at least 0, up to 1"),
        ({"part": 0.0}, "part is 0.0; give a number above 0, up to 1"),
        ({"fraction": 1.0}, "fraction is 1.0; give a number above 0, below 1"),
        ({"count": 0}, "count is 0; give at least 1"),
        ({"optional": 1}, "optional is 1; give at least 2"),
        ({"momentum": 1.0}, "momentum is 1.0; give at least 0, below 1"),
        ({"numbers": ()}, "numbers has 0 items; give at least 1"),
        ({"numbers": (1.0, 2.0, 3.0)}, "numbers has 3 items; give at least 1, at most 2"),
        ({"numbers": (1.0, -2.0)}, "numbers[1] is -2.0; give at least 0"),
        ({"word": "three"}, "word is 'three'; give 'one' or 'two'"),
    ],
)
def test_refuses_by_name(settings, message):
    with pytest.raises(ConfigError) as found:
        check_settings(Toy(**settings), "toy")
    assert message in str(found.value)


def test_takes_what_is_within():
    check_settings(Toy(), "toy")
    check_settings(Toy(1e-9, 0.0, 1e-3, 0.99, 7, 2, 0.9, (3.0, 4.0), "two"), "toy")
