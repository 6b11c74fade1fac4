"""Cores beside a build's student."""

import pytest

from pipeline.config.build import parse
from pipeline.studies.own_core import named
from tests.pipeline.toy import config


@pytest.mark.parametrize("name", ["a", "a" * 64, f"{'a' * 54}-{'b' * 9}"])
def test_its_name_is_that_of_a_build(name: str) -> None:
    made = named(config(name=name), "detector")
    assert made.name.endswith("-detector") and made.name.startswith(name[:20])
    assert parse(made.model_dump(mode="json"), "lock") == made
