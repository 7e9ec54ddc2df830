"""The effective settings of this process, for operators: value, default, source and a line of help for each.

Rule: no secret leaves this module. Help comes from docs/settings.md, which a test keeps complete; without that file the
lines are empty.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from django.conf import settings

DOCUMENT: Final = "docs/settings.md"
HIDDEN: Final = "••••••"

_SECRET = re.compile(r"SECRET|TOKEN|PASSWORD|PASSPHRASE|CREDENTIAL|PRIVATE")
_LOGIN = re.compile(r"//.*@")  # up to the last @: a password may hold one
_PARAMETERS = re.compile(r"\?.*")
_ROW = re.compile(r"^\| (?P<names>`[A-Z_`, ]+`) \| (?P<default>.*?) ?\| ?(?P<help>.*) \|$")
_LINK = re.compile(r"\[([^]]*)\]\([^)]*\)")


@dataclass(frozen=True, slots=True)
class EffectiveSetting:
    """A setting as text. `source`: "environment", "data folder" (of embedded servers) or "default"; `section`: its
    heading in the document.
    """

    name: str
    value: str
    default: str
    source: str
    section: str
    help: str

    @property
    def anchor(self) -> str:
        """The fragment of its section's URL, as GitHub makes it."""
        return re.sub(r"[^a-z0-9 -]", "", self.section.lower()).replace(" ", "-")


def effective_settings() -> list[EffectiveSetting]:
    """Every setting that the environment can change, in the order of the settings file."""
    return list(_effective(_documented(Path(settings.BASE_DIR) / DOCUMENT)))


def _effective(documented: Mapping[str, tuple[str, str]]) -> Iterator[EffectiveSetting]:
    for name, default in settings.ENVIRONMENT_DEFAULTS.items():
        section, help_text = documented.get(name, ("Other", ""))
        yield EffectiveSetting(
            name=name,
            value=shown(name, getattr(settings, name, default)),
            default=shown(name, default),
            source=_source(name),
            section=section,
            help=help_text,
        )


def _source(name: str) -> str:
    """`serve` hands what it has in the data folder to its processes by their environment."""
    given = os.environ.get(name, "").strip()
    if not given:
        return "default"
    return "data folder" if given in _in_data_folder() else "environment"


def _in_data_folder() -> set[str]:
    """The addresses of embedded servers, and the generated secret key."""
    found: set[str] = set()
    folder = Path(settings.RELAY_DATA_DIR)
    with contextlib.suppress(OSError, ValueError, AttributeError):
        found |= set(map(str, json.loads((folder / "services.json").read_text()).values()))
    with contextlib.suppress(OSError):
        found.add((folder / "secret_key").read_text().strip())
    return found


def shown(name: str, value: object) -> str:
    """A value as text: secrets hidden, and so are user, password and parameters of a URL."""
    if isinstance(value, bool):
        return str(value).lower()
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    if text and _SECRET.search(name):
        return HIDDEN
    return _PARAMETERS.sub(f"?{HIDDEN}", _LOGIN.sub(f"//{HIDDEN}@", text)) if "://" in text else text


@cache
def _documented(path: Path) -> dict[str, tuple[str, str]]:
    """Variable -> (section, help) of the document's tables."""
    found: dict[str, tuple[str, str]] = {}
    section = ""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        if line.startswith("## "):
            section = line[3:]
        elif row := _ROW.match(line):
            help_text = _LINK.sub(r"\1", row["help"]).replace("`", "")
            found |= dict.fromkeys(re.findall(r"[A-Z_]+", row["names"]), (section, help_text))
    return found
