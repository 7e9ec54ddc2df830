"""Figures of a plan: what PostgreSQL says of each node becomes what was read in each way."""

from typing import Any

from relay.storage.query_plan import Access, figures_of, tree


def scan(table: str, index: str = "", **figures: Any) -> dict[str, Any]:
    named = {"Index Name": index} if index else {}
    kind = "Index Scan" if index else "Seq Scan"
    return {"Node Type": kind, "Relation Name": table, "Plan Rows": 10, **named, **figures}


def ran(rows: float, times: int = 1, dropped: float = 0) -> dict[str, Any]:
    return {"Actual Rows": rows, "Actual Loops": times, "Rows Removed by Filter": dropped}


def plan(*below: dict[str, Any], **figures: Any) -> dict[str, Any]:
    return {"Plan": {"Node Type": "Result", "Actual Rows": 1, "Actual Loops": 1, "Plans": list(below), **figures}}


def test_rows_are_the_mean_of_a_run_and_are_multiplied() -> None:
    figures = figures_of(plan(scan("relay_event", "a", **ran(2.5, times=4, dropped=1.5))))

    assert figures.accesses == [Access("relay_event", "a", times=4, read=16, dropped=6)]


def test_several_nodes_of_one_way_are_one_access() -> None:
    figures = figures_of(plan(scan("relay_tag", "t", **ran(3)), scan("relay_tag", "t", **ran(4, times=2))))

    assert figures.accesses == [Access("relay_tag", "t", times=3, read=11)]
    assert figures.read == 11


def test_nodes_that_did_not_run_are_left_out() -> None:
    figures = figures_of(plan(scan("relay_event", **ran(0, times=0)), scan("relay_event", "a", **ran(1))))

    assert [access.index for access in figures.accesses] == ["a"]
    assert figures.scans == []


def test_a_large_table_without_an_index_is_a_scan() -> None:
    figures = figures_of(plan(scan("relay_event", **ran(9)), scan("relay_vanish_pending", **ran(0))))

    assert figures.scans == ["relay_event"]


def test_a_plan_that_did_not_run_shows_its_scans_without_figures() -> None:
    explained = {"Plan": {"Node Type": "Limit", "Plan Rows": 5, "Plans": [scan("relay_event", "a")]}}

    assert figures_of(explained).accesses == [Access("relay_event", "a")]
    assert list(tree(explained["Plan"]))[1] == "  Index Scan using a on relay_event (estimated rows 10)"


def test_pages_are_bytes_of_memory_and_of_disk() -> None:
    pages = {"Shared Hit Blocks": 3, "Shared Read Blocks": 2, "Temp Written Blocks": 1}

    figures = figures_of(plan(**pages))

    assert (figures.memory_bytes, figures.disk_bytes, figures.spilled_bytes) == (24_576, 16_384, 8_192)
    assert figures.pages == 5


def test_rows_at_known_places_are_no_scan() -> None:
    place = {"Node Type": "Tid Scan", "Relation Name": "relay_event", **ran(1, times=9)}

    assert figures_of(plan(place)).scans == []


def test_the_tree_leaves_out_what_did_not_run() -> None:
    explained = plan(
        scan("relay_event", "a", Alias="e", **ran(2, dropped=1)), scan("relay_tag", "t", **ran(0, times=0))
    )

    lines = list(tree(explained["Plan"]))

    assert lines[1] == "  Index Scan using a on relay_event e (rows 2; dropped 1; pages 0 memory, 0 disk)"
    assert len(lines) == 2
