"""The page of a build's files is what the types say, and stages write what it lists."""

import fnmatch
from pathlib import Path

import pytest

from pipeline.artefacts.catalog import FILES
from pipeline.config.file import load
from pipeline.stages import stages_of
from tests.docs.artefacts import PAGE, page
from tests.pipeline.toy import BUILDS


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run python -m tests.docs.artefacts"


@pytest.mark.parametrize("file", sorted(BUILDS.glob("*.toml")), ids=lambda file: file.stem)
def test_every_file_of_a_stage_is_listed(file: Path) -> None:
    for stage in stages_of(load(file)):
        known = [each.name for each in FILES if stage.name in each.stages]
        for name in stage.outputs_of(load(file)):
            assert any(fnmatch.fnmatch(name, each) for each in known), (stage.name, name)
