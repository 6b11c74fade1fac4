"""Optuna's journal: opened where it is whole, an error of the file where it is not."""

from pathlib import Path

import optuna
import pytest

from common.errors import ConfigError
from pipeline.sizing.journal import journal


def study(path: Path) -> optuna.Study:
    with journal(path) as storage:
        return optuna.create_study(study_name="s", storage=storage, load_if_exists=True)


def test_a_journal_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "new" / "j.log"
    study(path).tell(study(path).ask(), 0.5)
    assert [trial.value for trial in study(path).trials if trial.value] == [0.5]


def test_a_journal_that_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.sizing.journal.PATIENCE", 0.05)
    path = tmp_path / "j.log"
    study(path).ask()
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ConfigError, match=r"size\.journal: .*j\.log: damaged.*its last line is cut off"):
        study(path)


@pytest.mark.parametrize(
    "content",
    [
        "garbage\n",
        "[]\n",
        "{}\n",
        '{"op_code": "x"}\n',
        '{"op_code": 99, "worker_id": "a"}\n',
        '{"op_code": 5, "worker_id": "a"}\n',
        "\xff\n",
    ],
)
def test_what_is_no_journal(content: str, tmp_path: Path) -> None:
    path = tmp_path / "j.log"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"size\.journal: .*j\.log: damaged, or of another tool"):
        study(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"size\.journal: .*: Is a directory; give another file"):
        study(tmp_path)
