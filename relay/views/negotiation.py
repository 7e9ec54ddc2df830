"""Which media types a request accepts (RFC 9110, 12.5.1), as far as the relay must know."""


def accepts(header: str, media_type: str) -> bool:
    """True if `header` (Accept) names `media_type` (lower case) itself with a weight above zero.

    Names compare without case. A wildcard does not count: a browser sends one and wants the page (11-7). A weight
    that cannot be read counts as 1.
    """
    return any(name == media_type and weight > 0 for name, weight in map(_weighed, header.split(",")))


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
