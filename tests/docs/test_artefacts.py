"""The page of a build's files is what the types say, and stages write what it lists."""

import fnmatch

from pipeline.artefacts.catalog import FILES
from pipeline.stages import STAGES
from tests.docs.artefacts import PAGE, page


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run python -m tests.docs.artefacts"


def test_every_file_of_a_stage_is_listed() -> None:
    known = {stage.name: [file.name for file in FILES if stage.name in file.stages] for stage in STAGES}
    for stage in STAGES:
        if isinstance(stage.outputs, tuple):
            for name in stage.outputs:
                assert any(fnmatch.fnmatch(name, each) for each in known[stage.name]), (stage.name, name)
