"""What the databases of addresses say of a place. Rule: pure.

MaxMind (GeoLite2, GeoIP2) and DB-IP nest coordinates and names, ip-location-db has them at the top; both are read.
"""

from collections.abc import Mapping
from typing import Any

from replication.geo.sphere import Place

Record = Mapping[str, Any]


def place_in(record: Any) -> Place | None:
    """The coordinates of a record, None if it has none that are on the globe."""
    if not isinstance(record, Mapping):
        return None
    found = record.get("location", record)
    try:
        return Place(float(found["latitude"]), float(found["longitude"]))
    except (KeyError, TypeError, ValueError):
        return None


def name_in(record: Any) -> str:
    """Town and country for a person, such as "Bracknell, GB"; "" if the record names neither."""
    if not isinstance(record, Mapping):
        return ""
    country = record.get("country")
    code = country.get("iso_code") if isinstance(country, Mapping) else record.get("country_code")
    return ", ".join([str(part) for part in (_town(record.get("city")), code) if part])


def _town(city: Any) -> str:
    if isinstance(city, Mapping):
        names = city.get("names")
        return str(names.get("en", "")) if isinstance(names, Mapping) else ""
    return city if isinstance(city, str) else ""
