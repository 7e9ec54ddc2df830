"""Named SQL: one file for each statement."""

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

_NAME = re.compile(r"\$([A-Z][A-Z_]+)")


class Statements:
    """The files `<name>.sql` of a folder. In their text `$NAME` stands for a constant of `names`."""

    def __init__(self, folder: Path, names: Callable[[], Mapping[str, str]] = dict) -> None:
        self._folder = folder
        self._make_names = names
        self._texts: dict[str, str] = {}

    @cached_property
    def _names(self) -> Mapping[str, str]:
        return self._make_names()

    def __call__(self, name: str) -> str:
        """The text of `<name>.sql`. Raises FileNotFoundError for an unknown file, KeyError for an unknown `$NAME`."""
        if name not in self._texts:
            text = (self._folder / f"{name}.sql").read_text()
            self._texts[name] = _NAME.sub(lambda found: self._names[found[1]], text)
        return self._texts[name]
