"""Formats numbers. Pure; None, for an unknown value, gives a dash."""

NOT_KNOWN = "–"

_BYTES = ("B", "KB", "MB", "GB", "TB", "PB")


def count(number: float | None) -> str:
    """An integer: 12,345; from ten million on 12.3 M."""
    if number is None:
        return NOT_KNOWN
    if abs(number) < 10_000_000:
        return f"{number:,.0f}"
    return f"{number / 1e6:,.1f} M" if abs(number) < 1e9 else f"{number / 1e9:,.1f} G"


def rate(per_second: float | None) -> str:
    """A rate per second: one decimal below 100."""
    if per_second is None:
        return NOT_KNOWN
    return f"{per_second:.1f}" if 0 < per_second < 99.95 else count(per_second)


def percent(share: float | None) -> str:
    """A number of percent: 12.3 %."""
    return NOT_KNOWN if share is None else f"{share:.1f} %" if 0 < share < 99.95 else f"{share:.0f} %"


def latency(seconds: float | None) -> str:
    """A latency in seconds: 4.2 ms, 2.50 s."""
    if seconds is None:
        return NOT_KNOWN
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{1000 * seconds:.1f} ms" if seconds < 0.1 else f"{1000 * seconds:.0f} ms"


def duration(seconds: float | None) -> str:
    """Seconds in their two largest units: 3 d 4 h."""
    if seconds is None:
        return NOT_KNOWN
    left = max(0, round(seconds))
    parts: list[str] = []
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        number, left = divmod(left, length)
        if number or (unit == "s" and not parts):
            parts.append(f"{number} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def size(number: float | None) -> str:
    """Bytes, in powers of 1,000: 2.3 MB."""
    if number is None:
        return NOT_KNOWN
    power = 0
    while abs(number) >= 999.5 and power < len(_BYTES) - 1:
        number /= 1000
        power += 1
    return f"{number:.0f} {_BYTES[power]}" if power < 2 else f"{number:.1f} {_BYTES[power]}"


def signed(number: float | None) -> str:
    """A signed integer: +120, -3, ±0."""
    if number is None:
        return NOT_KNOWN
    return "±0" if not number else f"{'+' if number > 0 else '-'}{count(abs(number))}"
