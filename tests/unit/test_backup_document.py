"""The command of the document that archives the write-ahead log, run as PostgreSQL runs it."""

import re
import subprocess
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/operations/backup.md"
NAME = "000000010000000000000001"


class Archive:
    """The archive, and the log file that is to be archived."""

    def __init__(self, folder: Path) -> None:
        self.file, self._log = folder / "archive" / NAME, folder / NAME
        self.file.parent.mkdir()
        (command,) = re.findall(r"^    archive_command = '(.+)'$", DOCUMENT.read_text(), re.M)
        self._command = command.replace("/archive/", f"{self.file.parent}/")

    def takes(self, content: str) -> bool:
        """Whether PostgreSQL is told that a log file with this content is archived."""
        self._log.write_text(content)
        command = self._command.replace("%p", str(self._log)).replace("%f", NAME)
        return subprocess.run(["sh", "-c", command], check=False, capture_output=True).returncode == 0


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def test_a_log_file_is_archived_whole_and_nothing_is_left_beside_it(archive: Archive) -> None:
    assert archive.takes("what was committed")
    assert [(path.name, path.read_text()) for path in archive.file.parent.iterdir()] == [(NAME, "what was committed")]


def test_a_log_file_that_is_archived_again_after_a_crash_is_no_failure(archive: Archive) -> None:
    assert archive.takes("what was committed")
    assert archive.takes("what was committed")


def test_a_log_file_of_another_server_overwrites_none(archive: Archive) -> None:
    assert archive.takes("what was committed")
    assert not archive.takes("of another timeline")
    assert archive.file.read_text() == "what was committed"


def test_a_copy_that_was_cut_short_is_made_anew(archive: Archive) -> None:
    archive.file.with_name(f"{NAME}.part").write_text("what w")
    assert archive.takes("what was committed")
    assert archive.file.read_text() == "what was committed"
