"""Where the deploy kit is, and what its tests ask of several of its parts."""

import re
from pathlib import Path
from typing import Any

import yaml

from relayproject import env, settings

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy"


def documents(path: Path) -> list[dict[str, Any]]:
    """The YAML documents of a file."""
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def unknown_settings(names: set[str]) -> set[str]:
    """Those of `names` that look like settings of the relay and are none."""
    assert settings.RELAY_HOST  # all are read
    ours = {name for name in names if re.match(r"RELAY_|.*_URL$|SECRET_KEY|ALLOWED_HOSTS|LOG_", name)}
    return ours - set(env.defaults)


def of_bytes(quantity: str) -> int:
    """A limit of memory as Compose ("2g") or Kubernetes ("4Gi") writes it."""
    number, power = int(re.sub(r"\D", "", quantity)), "kmg".index(re.sub(r"\d", "", quantity)[0].lower()) + 1
    return number << 10 * power
