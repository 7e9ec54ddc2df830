"""What was measured as tables: costs, the check of the prediction, bytes, and what it comes to for more users."""

from typing import Any

from tests.benchmarks.scaling.model import (
    CONCERNS,
    KINDS,
    Costs,
    Part,
    Sample,
    Work,
    deviation,
    fit,
    least_squares,
    predict,
)
from tests.benchmarks.scaling.plan import Choices, Load, Sizes, table

Json = dict[str, Any]
UNITS = {
    "servers": "a second of a server",
    "seconds": "a second of a worker at rest",
    "connections": "a ping of a connection",
    "events": "an event published here",
    "commits": "a transaction with events",
    "messages": "a message of the bus received",
    "changes": "an event in it that no subscription matches",
    "deliveries": "a delivery to a subscription",
    "memory": "a query from memory, 20 events",
    "database": "a query from PostgreSQL, 20 events of one author",
    "feeds": "a home feed from PostgreSQL, 300 authors",
    "commands": "a command of the shared cache",
}
PING_SECONDS = 50
"""Of a relay's default settings; the trials pinged more often, and count pings."""

EVENT_BYTES = 2_070
"""docs/operations/database.md."""

WORKER_BYTES = 420e6
"""docs/operations/production.md: with ring, window and all pages."""

MESSAGE_BYTES, CHANGE_BYTES = 260, 590
"""Of the bus."""

FULL_PAGES = 5
"""Index entries of an event with two tags that fall anywhere (id, author, author and kind, tags). In a store much
larger than what is written between two checkpoints, each is in a page that goes into the WAL as a whole.
"""

LOADS = {
    "10,000": Load(users=1e4, events=10, queries=50, deliveries=50, stored=1e7),
    "100,000": Load(users=1e5, events=50, queries=300, deliveries=100, stored=1e8),
    "1,000,000": Load(users=1e6, events=200, queries=2_000, deliveries=100, stored=3e8),
    "10,000,000": Load(users=1e7, events=300, queries=20_000, deliveries=100, stored=1e9),
    "10,000,000, busy": Load(users=1e7, events=1_000, queries=20_000, deliveries=100, stored=1e9),
    "10,000,000, very busy": Load(users=1e7, events=3_000, queries=40_000, deliveries=100, stored=1e9),
}


def report(found: Json) -> str:
    """All tables."""
    trials = found["trials"]
    costs = fit(_sample(each) for made in trials.values() for each in made["samples"])
    loads = [made["load"] for made in (*trials.values(), found["check"]) if "load" in made]
    refused = sum(made.get("refused", 0) for made in (*trials.values(), found["check"]))
    sizes = measured_sizes(found)
    head = f"{found['at']}, {found['seconds']:g} s a trial, rates x {found['times']:g}"
    parts = [
        f"{head}, load of the machine {min(loads):.1f} to {max(loads):.1f}, {refused:,} refused",
        cost_table(costs),
        check_table(costs, found["check"]["samples"]),
        fit_table(costs, trials),
        byte_table(found, sizes),
        table(LOADS, in_life(costs), sizes, Choices()),
    ]
    return "\n\n".join(parts)


def _sample(each: Json) -> Sample:
    return Sample(Part(each["part"]), Work(**each["work"]), each["cpu"])


def in_life(costs: Costs) -> Costs:
    """With the cost of a connection for a second, not for a ping."""
    workers = costs[Part.WORKERS]
    return {**costs, Part.WORKERS: {**workers, "connections": workers["connections"] / PING_SECONDS}}


def cost_table(costs: Costs) -> str:
    """Microseconds by kind of work and class of processes."""
    lines = ["| CPU, us | " + " | ".join(Part) + " |", "|" + "---|" * (1 + len(Part))]
    for kind in KINDS:
        cells = [f"{costs[part][kind] * 1e6:,.0f}" if kind in CONCERNS[part] else "" for part in Part]
        lines.append(f"| {UNITS[kind]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def check_table(costs: Costs, samples: list[Json]) -> str:
    """Predicted and measured CPU of each class, while three instances did everything at once."""
    lines = ["| class | predicted, s | measured, s | deviation |", "|---|---|---|---|"]
    for part in Part:
        found = [sample for sample in map(_sample, samples) if sample.part == part]
        predicted = [predict(costs, part, sample.work) for sample in found]
        measured = [sample.cpu for sample in found]
        rows = [(part.value, sum(predicted), sum(measured))]
        if len(found) > 1:
            rows += [(f"worker {n}", *each) for n, each in enumerate(zip(predicted, measured, strict=True), 1)]
        lines += [f"| {name} | {a:.2f} | {b:.2f} | {deviation(a, b):+.0%} |" for name, a, b in rows]
    lines.append("| work | " + ", ".join(f"{kind} {value:,.0f}" for kind, value in _work(samples).items()) + " | | |")
    return "\n".join(lines)


def _work(samples: list[Json]) -> Json:
    return dict(samples[-1]["work"])


def fit_table(costs: Costs, trials: Json) -> str:
    """How well the costs explain the trials they were made of."""
    lines = ["| trial | " + " | ".join(f"{part}, s (fit)" for part in Part) + " |", "|" + "---|" * (1 + len(Part))]
    for name, made in trials.items():
        cells = []
        for part in Part:
            found = [sample for sample in map(_sample, made["samples"]) if sample.part == part]
            pairs = [f"{sample.cpu:.2f} ({predict(costs, part, sample.work):.2f})" for sample in found]
            cells.append(", ".join(pairs))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def measured_sizes(found: Json) -> Sizes:
    """Bytes of a connection with a subscription, and of WAL for an event."""
    waiting = found["trials"]["waiting connections"]
    count = waiting["samples"][0]["work"]["connections"] * 5 / waiting["samples"][0]["work"]["seconds"]
    event, page = wal_bytes(found["trials"])
    wal = event + FULL_PAGES * page
    return Sizes(sum(waiting["memory"]) / count, WORKER_BYTES, EVENT_BYTES, wal, MESSAGE_BYTES, CHANGE_BYTES)


def wal_bytes(trials: Json) -> tuple[float, float]:
    """Of an event without full pages, and of a full page."""
    writing = [made for made in trials.values() if "wal" in made and _work(made["samples"])["events"]]
    events = [_work(made["samples"])["events"] for made in writing]
    pages = [made["wal"][1] for made in writing]
    found = least_squares({"event": events, "page": pages}, [made["wal"][0] for made in writing])
    return found["event"], found["page"]


def byte_table(found: Json, sizes: Sizes) -> str:
    """Memory and WAL."""
    waiting = found["trials"]["waiting connections"]
    total = sum(waiting["memory"])
    lines = ["| bytes | |", "|---|---|"]
    for name, part in zip(("a connection", "its home feed of 100 strangers"), waiting["memory"], strict=True):
        lines.append(f"| {name} | {sizes.connection * part / total:,.0f} |")
    lines.append(f"| a worker at rest | {found['trials']['rest']['resident'][0]:,} |")
    event, page = wal_bytes(found["trials"])
    lines.append(f"| WAL for an event, without full pages; for a full page | {event:,.0f}; {page:,.0f} |")
    lines.append(f"| WAL for an event with {FULL_PAGES} of them | {sizes.wal:,.0f} |")
    return "\n".join(lines)
