"""The Accept header (RFC 9110, 12.5.1), as far as the relay needs it."""

LONGEST = 2_048
"""Characters that are read, ten times what browsers send: 16 KiB of commas took 12 ms of the event loop."""


def accepts(header: str, media_type: str) -> bool:
    """True if `header` (Accept) names `media_type` (lower case) explicitly with a weight above 0.

    Case-insensitive. Wildcards do not count: browsers send them and want the page (11-7). An invalid weight counts
    as 1.
    """
    items = header[:LONGEST].split(",")
    return any(name == media_type and weight > 0 for name, weight in map(_weighed, items))


def _weighed(item: str) -> tuple[str, float]:
    name, *parameters = (part.strip().lower() for part in item.split(";"))
    weight = 1.0
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                weight = 1.0
    return name, weight
