"""docs/settings.md names every setting that the environment can set, and no other."""

import re
from pathlib import Path

from relayproject.settings import ENVIRONMENT_DEFAULTS

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"`([A-Z][A-Z_]+)`")


def test_every_setting_is_documented() -> None:
    named = set(NAMED.findall((ROOT / "docs/settings.md").read_text()))
    assert set(ENVIRONMENT_DEFAULTS) - named == set()


def test_no_setting_is_documented_that_does_not_exist() -> None:
    named = {name for name in NAMED.findall((ROOT / "docs/settings.md").read_text()) if name.startswith("RELAY_")}
    assert named - set(ENVIRONMENT_DEFAULTS) == set()
