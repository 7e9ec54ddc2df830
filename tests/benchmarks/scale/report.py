"""The tables of docs/storage-scale.md, of all stores that were measured and kept."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.scale.stores import Size

Json = dict[str, Any]
DOCUMENT = Path(__file__).resolve().parents[3] / "docs/storage-scale.md"
KEPT = Path(__file__).with_name("figures.json")
SECTIONS = ("questions", "publishing", "bytes", "memory", "partitions")
VARIANTS = ("without caches", "with caches")
MIB = 2**20


def keep(measured: Iterable[Json], stored: Json, file: Path = KEPT) -> Json:
    """Put figures into the file in place of those of the same store and variant; what it holds now.

    `stored`: bytes an event by name of the store.
    """
    found: Json = json.loads(file.read_text()) if file.exists() else {"measured": [], "bytes": {}}
    fresh = {_key(each): each for each in measured}
    for each in found["measured"]:
        fresh.setdefault(_key(each), each)
    found = {"measured": [fresh[key] for key in sorted(fresh)], "bytes": found["bytes"] | stored}
    file.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    return found


def _key(each: Json) -> tuple[str, int, int]:
    return each["variant"], each["parts"], each["events"]


def tables(found: Json) -> dict[str, str]:
    """Markdown by the name of its section."""
    measured, sizes = found["measured"], found["bytes"]
    whole = [each for each in measured if each["parts"] == 1]
    divided = sorted((each for each in measured if "ratios" in each), key=lambda each: (each["events"], each["parts"]))
    by_variant = {name: [each for each in whole if each["variant"] == name] for name in VARIANTS}
    questions = [f"**{name.capitalize()}**\n\n{_questions(group)}" for name, group in by_variant.items() if group]
    return {
        "questions": "\n".join(questions),
        "publishing": _rates(by_variant),
        "bytes": _bytes(sizes, measured),
        "memory": _memory(by_variant),
        "partitions": _partitions(divided),
    }


def _questions(group: Sequence[Json]) -> str:
    head = ["questions a second (p50, p95 in ms)", *[f"{each['events']:,}" for each in group]]
    names = list(group[0]["questions"]) if group else []
    rows = [[name, *[_answered(each["questions"].get(name)) for each in group]] for name in names]
    rows.append(["geometric mean of all but the last", *[f"{each['mean']:,.0f}" for each in group]])
    rows.append(["ratio to a bare echo of the same run", *[f"{each['mean'] / each['echo']:.4f}" for each in group]])
    return _table(head, rows)


def _answered(found: Json | None) -> str:
    if found is None:
        return ""
    if not found["per_second"]:
        return "refused"
    return f"{found['per_second']:,.0f} ({_ms(found['p50_ms'])}, {_ms(found['p95_ms'])})"


def _ms(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def _rates(by_variant: dict[str, list[Json]]) -> str:
    events = _events(by_variant)
    rows = []
    for name, group in by_variant.items():
        rates = {each["events"]: each for each in group}
        rows.append([f"{name}, events a second", *[_cell(rates, one, "publishing", "{:,.0f}") for one in events]])
    rows.append(["echoes a second of the same runs", *[_cell_of(by_variant, one, "echo") for one in events]])
    return _table(["", *[f"{one:,}" for one in events]], rows)


def _events(by_variant: dict[str, list[Json]]) -> list[int]:
    return sorted({each["events"] for group in by_variant.values() for each in group})


def _cell(rates: dict[int, Json], events: int, name: str, form: str) -> str:
    return form.format(rates[events][name]) if events in rates else ""


def _cell_of(by_variant: dict[str, list[Json]], events: int, name: str) -> str:
    return ", ".join(
        f"{each[name]:,.0f}" for group in by_variant.values() for each in group if each["events"] == events
    )


def _memory(by_variant: dict[str, list[Json]]) -> str:
    events = _events(by_variant)
    rows = []
    for variant, group in by_variant.items():
        found = {each["events"]: each["memory"] for each in group}
        for part, label in (("postgres", "PostgreSQL"), ("worker", "a worker")):
            cells = [f"{found[one][part] / MIB:,.0f}" if one in found else "" for one in events]
            rows.append([f"{label}, {variant}", *cells])
    return _table(["MiB", *[f"{one:,}" for one in events]], rows)


def _bytes(sizes: Json, measured: Sequence[Json]) -> str:
    order = sorted({(each["parts"], each["events"]) for each in measured})
    stores = [name for parts, events in order if (name := Size(events, parts).name) in sizes]
    rows = []
    for kind in ("tables", "indexes"):
        names = dict.fromkeys(name for each in sizes.values() for name in each[kind])
        rows += [[f"`{name}`", *[_bytes_of(sizes[store][kind].get(name)) for store in stores]] for name in names]
        rows.append([f"all {kind}", *[_bytes_of(sum(sizes[store][kind].values())) for store in stores]])
    rows.append(["all", *[_bytes_of(sum(sum(each.values()) for each in sizes[store].values())) for store in stores]])
    return _table(["bytes an event", *stores], rows)


def _bytes_of(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _partitions(divided: Sequence[Json]) -> str:
    """Ratios to one table: of the time of a question, in brackets of PostgreSQL's CPU for it; of the rate of events."""
    if not divided:
        return "Not measured yet.\n"
    heads = [f"{each['parts']} partitions of {each['events']:,}, {each['variant']}" for each in divided]
    names = list(dict.fromkeys(name for each in divided for name in each["ratios"]))
    rows = [[_label(name), *[_ratio(each["ratios"].get(name)) for each in divided]] for name in names]
    return _table(["ratio to one table", *heads], rows)


def _label(name: str) -> str:
    return f"{name}, events a second" if name == "publishing" else name


def _ratio(found: Json | None) -> str:
    if found is None:
        return ""
    if "postgres" not in found:
        return f"{found['rate']:.2f}"
    return f"{1 / found['rate']:.2f} ({found['postgres']:.2f})" if found["rate"] else "refused"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def write(texts: dict[str, str], document: Path = DOCUMENT) -> None:
    """Put each table between its markers, in place of what is there."""
    text = document.read_text()
    for name, table in texts.items():
        begin, end = f"<!-- {name}: python -m tests.benchmarks.scale --write -->", f"<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n\n{table}\n{end}{after}"
    document.write_text(text)
