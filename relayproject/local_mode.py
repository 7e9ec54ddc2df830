"""What the settings read in the data folder of local mode, where `serve` writes it (relayproject.runtime.datafolder).

Nothing here raises: before the first `serve` the folder is empty.
"""

import hashlib
import json
import os
import secrets
from pathlib import Path


def running_services(folder: Path) -> dict[str, str]:
    """The addresses of the embedded servers of a running `serve` (services.json): variable -> URL."""
    try:
        found = json.loads((folder / "services.json").read_text())
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def secret_key(folder: Path) -> str:
    """The key in the data folder; before the first `serve` a random one for this process."""
    try:
        return (folder / "secret_key").read_text().strip() or secrets.token_urlsafe(50)
    except OSError:
        return secrets.token_urlsafe(50)


def name_of(folder: Path) -> str:
    """Six hex digits of the data folder's path: two instances on one host have different folders."""
    return hashlib.sha256(os.fsencode(folder)).hexdigest()[:6]
