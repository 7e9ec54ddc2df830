"""The report as one HTML page: figures, plots, recommendations. It opens anywhere and loads nothing.

Rule: reasons and notices are text of a relay that may be hostile: everything is escaped, and the page's own policy
forbids scripts and resources.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from html import escape

from relay.loadtest import results, wording
from relay.loadtest.charts import Line, line_chart
from relay.loadtest.style import STYLE

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_SORTS = (("ok", "OK"), ("eose", "EOSE"), ("delivery", "delivery"))
_RATES = (
    ("ok", "events", "Events accepted"),
    ("eose", "queries", "Queries answered"),
    ("delivery", "deliveries", "Deliveries"),
)


def as_html(report: results.Report) -> str:
    """A whole document, light and dark by the reader's system."""
    title = escape(wording.title(report.run))
    started = datetime.fromtimestamp(report.run.started_at, UTC)
    body = "".join(
        (
            f"<h1>{title}</h1>",
            f'<p class="when">{started:%Y-%m-%d %H:%M:%S} UTC, {wording.number(report.run.seconds)} s</p>',
            _verdict(report),
            _tiles(report),
            '<div class="plots">',
            *_plots(report),
            "</div>",
            '<div class="tables">',
            *(_table(heading, rows) for heading, rows in _tables(report)),
            "</div>",
        )
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{title}</title><style>{STYLE}</style></head>'
        f"<body><main>{body}</main></body></html>\n"
    )


def _verdict(report: results.Report) -> str:
    name, text = ("good", "Passed") if report.passed else ("bad", "Failed")
    if report.run.interrupted:
        name, text = "bad", "Stopped early: the figures are those until then"
    sentences = "".join(f"<li>{escape(wording.printable(sentence))}</li>" for sentence in report.recommendations)
    return f'<section class="verdict {name}"><h2>{text}</h2><ul>{sentences}</ul></section>'


def _tiles(report: results.Report) -> str:
    """The figures that are looked for first."""
    figures = report.figures
    tiles: list[tuple[str, float | None, str]] = [
        ("connections opened", figures.connections.success_percent, "%"),
        ("events accepted", figures.events.accepted_percent, "%"),
        ("events", figures.events.per_second, "/s"),
        ("OK, p95", figures.events.ok.p95_ms, "ms"),
        ("queries", figures.queries.geometric_mean_per_second or figures.queries.per_second, "/s"),
        ("EOSE, p95", figures.queries.eose.p95_ms, "ms"),
        ("deliveries", figures.deliveries.per_second, "/s"),
        ("delivery, p95", figures.deliveries.latency.p95_ms, "ms"),
        ("until all had it", figures.deliveries.all_received_ms, "ms"),
    ]
    cells = (
        f"<div><dt>{name}</dt><dd>{wording.number(value)}<small> {unit}</small></dd></div>"
        for name, value, unit in tiles
        if value is not None
    )
    return f'<dl class="tiles">{"".join(cells)}</dl>'


def _plots(report: results.Report) -> Iterator[str]:
    """Throughput has one plot for each sort, because their scales differ; latencies share theirs."""
    slots = report.over_time
    for style, attribute, heading in _RATES:
        rates = [(slot.second, getattr(slot, f"{attribute}_per_second")) for slot in slots]
        if any(rate for _, rate in rates):
            yield _figure(f"{heading} over time", [Line(attribute, style, rates)], "s", "per second")
    times = [
        Line(name, style, [(slot.second, getattr(slot, f"{style}_p95_ms")) for slot in slots]) for style, name in _SORTS
    ]
    yield _figure("Latency over time, p95 of each moment", times, "s", "ms")
    shares = [Line(name, style, getattr(report.distribution, style)) for style, name in _SORTS]
    yield _figure("Latency: how many took no longer", shares, "ms", "%", x_log=True)


def _figure(heading: str, lines: Iterable[Line], x_unit: str, y_unit: str, *, x_log: bool = False) -> str:
    lines = [line for line in lines if any(y is not None for _, y in line.points)]
    chart = line_chart(lines, heading, x_unit=x_unit, y_unit=y_unit, x_log=x_log)
    if not chart:
        return ""
    keys = "".join(f'<span class="key {line.style}">{escape(line.name)}</span>' for line in lines)
    legend = f'<p class="legend">{keys}</p>' if len(lines) > 1 else ""
    return f"<figure><figcaption>{escape(heading)} <small>{escape(y_unit)}</small></figcaption>{legend}{chart}</figure>"


def _tables(report: results.Report) -> Iterator[tuple[str, list[wording.Row]]]:
    yield from wording.sections(report)
    yield "Thresholds", [wording.check_row(check) for check in report.checks]
    names = ("scenario", "duration", "event_rate", "query_rate", "window", "processes", "authors", "seed")
    yield "Run", [(name.replace("_", " "), str(getattr(report.run, name))) for name in names]


def _table(heading: str, rows: Iterable[wording.Row]) -> str:
    cells = "".join(f"<tr><th>{escape(name.strip())}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    return f"<section><h2>{escape(heading)}</h2><table>{cells}</table></section>"
