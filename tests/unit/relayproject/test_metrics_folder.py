"""Processes of one start count into files of their own places."""

import os
import subprocess
import sys
from pathlib import Path

from relayproject.runtime.metrics_folder import FILE_BYTES, KINDS, VARIABLE, make

COUNTING = """
from relayproject.runtime.metrics_folder import count_as
count_as("jobs")
from prometheus_client import Counter
Counter("jobs_done", "Jobs.").inc()
"""
ON_A_FULL_DISK = """
import os
def full(*_): raise OSError(28, "No space left on device")
os.posix_fallocate = full
"""


def count(folder: Path, before: str = "") -> None:
    environment = {**os.environ, VARIABLE: str(folder)}
    subprocess.run([sys.executable, "-c", before + COUNTING], env=environment, check=True, timeout=60)


def test_a_process_counts_into_files_that_the_disk_has_room_for(tmp_path: Path) -> None:
    folder = make(tmp_path)
    count(folder)

    assert {path.name for path in folder.iterdir()} == {f"{kind}_jobs.db" for kind in KINDS}
    assert {path.stat().st_blocks * 512 >= FILE_BYTES for path in folder.iterdir()} == {True}
    assert b"jobs_done_total" in (folder / "counter_jobs.db").read_bytes()


def test_on_a_full_disk_a_process_counts_for_itself(tmp_path: Path) -> None:
    folder = make(tmp_path)
    count(folder, before=ON_A_FULL_DISK)

    assert not any(path.stat().st_size for path in folder.iterdir())
