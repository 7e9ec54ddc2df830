"""The figures of `hit_rates` as Markdown tables."""

from collections.abc import Iterable, Sequence
from typing import Any

Json = dict[str, Any]
MIB = 2**20


def tables(found: Json) -> str:
    """All of them, each under its title."""
    parts = [
        ("Queries a second, 8 connections", _speed(found["variants"])),
        ("Answers from each source, in percent (L1 / L2 / PostgreSQL)", _sources(found["variants"])),
        ("Hit rates by cache, mixed load with 2 % writes", _caches(found["variants"])),
        (
            "Cost of an answer by layer, microseconds of wall time (CPU of the worker), and ratios",
            _layers(found["layers"]),
        ),
        ("Memory of the workers, MiB", _memory(found["memory"])),
        ("Publishing, events a second", _publishing(found["publishing"])),
    ]
    lines = [f"Machine: {found['machine']}. Store: {found['size']['events']:,} events."]
    for title, table in parts:
        lines += ["", f"### {title}", "", *table]
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    made = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(str(cell) for cell in row) + " |" for row in made]


def _speed(variants: Json) -> list[str]:
    names = list(variants)
    shapes = list(next(iter(variants.values()))["shapes"])
    rows = [[shape, *[f"{variants[name]['shapes'][shape]['per_second']:,.0f}" for name in names]] for shape in shapes]
    rows.append(["mixed, 2 % writes", *[f"{variants[name]['mixed']['per_second']:,.0f}" for name in names]])
    rows.append(["p50 of the mixed load, ms", *[f"{variants[name]['mixed']['p50_ms']:.2f}" for name in names]])
    return _table(["shape", *names], rows)


def _sources(variants: Json) -> list[str]:
    names = [name for name in variants if name != "no cache"]
    shapes = list(next(iter(variants.values()))["shapes"])

    def cell(figures: Json) -> str:
        percent = figures["source_percent"]
        return f"{percent['l1']:g} / {percent['l2']:g} / {percent['none']:g}"

    rows = [[shape, *[cell(variants[name]["shapes"][shape]) for name in names]] for shape in shapes]
    rows.append(["mixed, 2 % writes", *[cell(variants[name]["mixed"]) for name in names]])
    return _table(["shape", *names], rows)


def _caches(variants: Json) -> list[str]:
    names = [name for name in variants if name != "no cache"]
    rates: dict[tuple[str, str], dict[str, str]] = {}
    for name in names:
        for cache in variants[name]["mixed"]["caches"]:
            percent = cache["hit_percent"]
            said = "-" if percent is None else f"{percent:g} % of {cache['lookups']:,}"
            rates.setdefault((cache["layer"], cache["name"]), {})[name] = said
    rows = [
        [f"{layer} {cache}", *[said.get(name, "-") for name in names]] for (layer, cache), said in sorted(rates.items())
    ]
    return _table(["cache", *names], rows)


def _layers(layers: Json) -> list[str]:
    columns = ("l1", "l1 and barrier", "l2", "l3")
    rows = []
    for shape, costs in layers.items():
        cells = [f"{costs[name]['wall']:,.0f} ({costs[name]['cpu']:,.0f})" for name in columns]
        base = costs["l1 and barrier"]["wall"] or 1.0
        rows.append([shape, *cells, f"1 : {costs['l2']['wall'] / base:.1f} : {costs['l3']['wall'] / base:.1f}"])
    return _table(["shape", "L1", "L1 and barrier", "L2", "PostgreSQL", "L1 and barrier : L2 : PostgreSQL"], rows)


def _memory(memory: Json) -> list[str]:
    columns = ("rss_before", "rss_after", "caches_before", "caches_after")
    rows = [
        [number, *[f"{worker[name] / MIB:.1f}" for name in columns],
         ", ".join(f"{name} {size:,}" for name, size in worker["entries_after"].items())]
        for number, worker in enumerate(memory["workers"], 1)
    ]  # fmt: skip
    keys = f"after {memory['distinct_keys']:,} distinct keys"
    return _table(["worker", "RSS before", f"RSS {keys}", "caches before", f"caches {keys}", "entries"], rows)


def _publishing(publishing: Json) -> list[str]:
    rows = [
        [number, f"{off:,.0f}", f"{on:,.0f}", f"{ratio:.3f}"]
        for number, (off, on, ratio) in enumerate(
            zip(publishing["off"], publishing["on"], publishing["ratios"], strict=True), 1
        )
    ]
    low, high = publishing["spread"]
    return [
        *_table(["pair", "caches off", "caches on", "on / off"], rows),
        "",
        f"Median of the ratios {publishing['median']:.3f}, spread {low:.3f} to {high:.3f}.",
    ]
