"""Figures as words and rows: the same ones in the text for the terminal and in the HTML page.

Rule: what was not measured has no row. Text of the relay's is made printable here, and escaped where HTML is made.
"""

from collections.abc import Iterator

from relay.loadtest import results

Row = tuple[str, str]


def number(value: float | None, unit: str = "") -> str:
    """With thousands separated and three digits that count: 12,345, 8.25, 0.031."""
    if value is None:
        return "–"
    digits = 0 if abs(value) >= 100 or value == int(value) else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}" + (f" {unit}" if unit else "")


def times(latency: results.Latency) -> str:
    """`p50 1.2, p95 3.4, p99 5.6, max 7.8 ms`."""
    parts = {"p50": latency.p50_ms, "p95": latency.p95_ms, "p99": latency.p99_ms, "max": latency.max_ms}
    return ", ".join(f"{name} {number(value)}" for name, value in parts.items()) + " ms"


def printable(text: str) -> str:
    """Without control characters, which could rewrite a terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)


def title(run: results.Run) -> str:
    """The heading of a report."""
    return f"Load test of {printable(', '.join(run.urls or [run.url]))}: {run.scenario}" + (
        ", stopped early" if run.interrupted else ""
    )


def sections(report: results.Report) -> Iterator[tuple[str, list[Row]]]:
    """Heading and rows of each part that has something to say."""
    figures = report.figures
    yield "Connections", list(_connections(figures.connections))
    if figures.events.sent:
        yield "Events", list(_events(figures.events))
    if figures.queries.asked:
        yield "Queries", list(_queries(figures.queries))
    if figures.deliveries.subscribers:
        yield "Deliveries", list(_deliveries(figures.deliveries))
    rest = list(_other(figures.other))
    if rest:
        yield "Other messages", rest
    yield "Load generator", list(_generator(figures.generator))


def _connections(part: results.Connections) -> Iterator[Row]:
    share = f" ({number(part.success_percent)} %)" if part.tried else ""
    yield "opened", f"{part.opened:,} of {part.tried:,}{share}"
    yield from _reasons("failed", part.failures)
    if part.connect.count:
        yield "time to open", times(part.connect)
    yield from _reasons("closed by the relay", part.closed_by_relay)
    if part.reopened:
        yield "opened again", f"{part.reopened:,}"


def _events(part: results.Events) -> Iterator[Row]:
    yield "accepted", f"{part.accepted:,} of {part.sent:,} sent ({number(part.accepted_percent)} %)"
    yield from _reasons("refused", part.refused_by_reason)
    if part.unanswered:
        yield "unanswered", f"{part.unanswered:,}"
    if part.withheld:
        yield "not sent in time", f"{part.withheld:,}"
    if part.per_second:
        yield "rate", number(part.per_second, "events/s")
    if part.ok.count:
        yield "time to OK", times(part.ok)


def _queries(part: results.Queries) -> Iterator[Row]:
    yield "answered", f"{part.answered:,} of {part.asked:,} asked ({number(part.answered_percent)} %)"
    yield from _reasons("rejected", part.rejected_by_reason)
    if part.unanswered:
        yield "unanswered", f"{part.unanswered:,}"
    if part.per_second:
        yield "rate", number(part.per_second, "queries/s")
    if part.geometric_mean_per_second:
        yield "geometric mean of the shapes", number(part.geometric_mean_per_second, "queries/s")
    if part.eose.count:
        yield "time to EOSE", times(part.eose)
    for shape in part.by_shape:
        found = f"{number(shape.per_second)} queries/s, {number(shape.events_per_query)} events each"
        yield f"  {shape.shape}", f"{found}, p50 {number(shape.latency.p50_ms)}, p95 {number(shape.latency.p95_ms)} ms"


def _deliveries(part: results.Deliveries) -> Iterator[Row]:
    share = f" ({number(part.delivered_percent)} %)" if part.delivered_percent is not None else ""
    yield "delivered", f"{part.delivered:,} to {part.subscribers:,} subscribers{share}"
    yield "lost", f"{part.lost:,}"
    if part.repeated:
        yield "delivered again", f"{part.repeated:,}"
    if part.per_second:
        yield "rate", number(part.per_second, "deliveries/s")
    if part.all_received_ms:
        yield "until all had it", number(part.all_received_ms, "ms")
    if part.latency.count:
        yield "publish to delivery", times(part.latency)


def _other(part: results.Other) -> Iterator[Row]:
    yield from _reasons("NOTICE", part.notices)
    counts = {
        "AUTH challenges": part.auth_challenges,
        "not of the protocol": part.garbage,
        "unexpected answers": part.unexpected,
        "events of others": part.foreign_events,
        "pings": part.pings,
    }
    yield from ((name, f"{count:,}") for name, count in counts.items() if count)


def _generator(part: results.Generator) -> Iterator[Row]:
    each = ", ".join(f"{share:.0f} %" for share in part.cpu_percent_by_process)
    verdict = "  (the bottleneck)" if part.is_bottleneck else ""
    yield "CPU of each process", f"{each or 'none'} of a core{verdict}"
    yield "CPU overall", f"{part.cpu_percent:.0f} % of a core"
    if part.behind_ms >= 1:
        yield "late against the rate", f"up to {number(part.behind_ms, 'ms')}"


def _reasons(name: str, reasons: list[results.Reason]) -> Iterator[Row]:
    for reason in reasons:
        example = f" ({printable(reason.example)})" if reason.example else ""
        yield name, f"{reason.count:,} × {printable(reason.reason) or 'no text'}{example}"


def check_row(check: results.Check) -> Row:
    """A threshold in words: name, and whether it was met."""
    is_time = check.name.startswith("p95")
    unit, side = ("ms", "at most") if is_time else ("%", "at least")
    state = {True: "met", False: "MISSED", None: "not measured"}[check.met]
    got = f" {number(check.measured)} {unit}," if check.measured is not None else ""
    return check.name, f"{state}:{got} {side} {number(check.limit)} {unit}"
