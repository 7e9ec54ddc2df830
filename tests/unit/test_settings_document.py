"""docs/settings.md names every setting that the environment can set, and no other."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
READ = re.compile(
    r'env\.(?:rate|rates_of_kinds|retention|text|integer|seconds|flag|words|folder|choice|web_address|cache_address|database_address|public_key|secret|uri|kinds|bits_by_kind|region|location|peers)\(\s*"([A-Z_]+)"'
)
NAMED = re.compile(r"`([A-Z][A-Z_]+)`")


def test_every_setting_is_documented() -> None:
    read = set(READ.findall((ROOT / "relayproject/settings.py").read_text()))
    named = set(NAMED.findall((ROOT / "docs/settings.md").read_text()))
    assert read - named == set()


def test_no_setting_is_documented_that_does_not_exist() -> None:
    read = set(READ.findall((ROOT / "relayproject/settings.py").read_text()))
    named = {name for name in NAMED.findall((ROOT / "docs/settings.md").read_text()) if name.startswith("RELAY_")}
    assert named - read == set()
