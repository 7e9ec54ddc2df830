"""Writes small databases of addresses (MMDB), in the format of MaxMind."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet


def record(latitude: float, longitude: float, city: str = "", country: str = "") -> dict[str, Any]:
    """What GeoLite2 City says of a place, as far as it is read."""
    return {
        "city": {"names": {"en": city}},
        "country": {"iso_code": country},
        "location": {"latitude": latitude, "longitude": longitude},
    }


def write_mmdb(path: Path, networks: Mapping[str, Any], ip_version: int = 6) -> Path:
    """A file with a record for each network; it takes the place of the one before by renaming, as updaters do."""
    writer = MMDBWriter(ip_version, "Test-City", ipv4_compatible=ip_version == 6)
    for network, content in networks.items():
        writer.insert_network(IPSet([network]), content)
    new = path.with_suffix(".writing")
    writer.to_db_file(str(new))
    return new.replace(path)
