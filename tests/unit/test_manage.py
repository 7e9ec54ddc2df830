"""`manage.py` started in a way that cannot work says what to do, without a traceback."""

import subprocess
import sys
from pathlib import Path

MANAGE = Path(__file__).resolve().parents[2] / "manage.py"


def test_a_python_without_the_packages_learns_which_one_has_them() -> None:
    without_packages = [sys.executable, "-I", "-S", str(MANAGE), "help"]

    ended = subprocess.run(without_packages, capture_output=True, text=True, timeout=30, check=False)

    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        "manage.py: No module named 'django'. `make run` installs the packages: use .venv/bin/python manage.py."
    ]
