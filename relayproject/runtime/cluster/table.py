"""What `cluster status` prints."""

from relayproject.runtime.cluster.status import Row, Status

HEAD = ("NAME", "ROLE", "PID", "ADDRESS", "STATE", "LAG", "LOG")


def table(found: Status) -> str:
    """The parts in columns, and where clients connect."""
    rows = [HEAD, *(_cells(row) for row in found.parts)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, "", f"{'well' if found.healthy else 'NOT well'}: {found.url}"]) + "\n"


def _cells(row: Row) -> tuple[str, ...]:
    state = f"{row.state} ({row.detail})" if row.detail else str(row.state)
    pid = str(row.pid) if row.pid else "-"
    return (row.name, row.role or "-", pid, row.address or "-", state, _size(row.lag_bytes), row.log)


def _size(amount: int | None) -> str:
    if amount is None:
        return "-"
    for unit in ("B", "KiB", "MiB"):
        if amount < 1_024:
            return f"{amount} {unit}"
        amount //= 1_024
    return f"{amount} GiB"
