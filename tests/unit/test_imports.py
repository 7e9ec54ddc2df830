"""No import cycles: a module can be read, tested and moved without those that stand on it."""

from collections.abc import Mapping, Set
from pathlib import Path

import grimp
import pytest

PACKAGES = ("relay", "analytics", "replication", "relayproject")
ROOT = Path(__file__).resolve().parents[2]

Graph = Mapping[str, Set[str]]
"""Module -> the modules that it imports."""


def imports(*packages: str, type_checking: bool) -> Graph:
    """Imports at module level and inside functions; with `type_checking`, also those under `if TYPE_CHECKING`."""
    graph = grimp.build_graph(*packages, exclude_type_checking_imports=not type_checking, cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def cycles(graph: Graph) -> list[str]:
    """Each group of modules that import each other, as one of its shortest chains: "a -> b -> a"."""
    found: dict[frozenset[str], str] = {}
    for module in sorted(graph):
        chain = _shortest_way_back(graph, module)
        if chain:
            found.setdefault(frozenset(chain), " -> ".join(chain))
    return list(found.values())


def _shortest_way_back(graph: Graph, start: str) -> list[str]:
    chains = [[start]]
    seen = set()
    for chain in chains:  # breadth first; the list grows while it is read
        for imported in sorted(graph[chain[-1]]):
            if imported == start:
                return [*chain, start]
            if imported not in seen:
                seen.add(imported)
                chains.append([*chain, imported])
    return []


@pytest.fixture(autouse=True)
def _packages_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)


def test_no_modules_import_each_other_when_they_run() -> None:
    graph = imports(*PACKAGES, type_checking=False)
    assert graph["relayproject.asgi"], "the graph has no edges"
    assert cycles(graph) == []


def test_no_modules_import_each_other_for_their_types() -> None:
    assert cycles(imports(*PACKAGES, type_checking=True)) == []


def test_a_cycle_is_named_with_its_chain() -> None:
    assert cycles({"a": {"b", "d"}, "b": {"c"}, "c": {"a"}, "d": set()}) == ["a -> b -> c -> a"]


def test_a_late_import_counts_and_one_for_types_only_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "sample_of_cycles"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "early.py").write_text("import sample_of_cycles.late, sample_of_cycles.typed\n")
    (package / "late.py").write_text("def f():\n    import sample_of_cycles.early\n")
    (package / "typed.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import sample_of_cycles.early\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    late = "sample_of_cycles.early -> sample_of_cycles.late -> sample_of_cycles.early"
    typed = "sample_of_cycles.typed -> sample_of_cycles.early -> sample_of_cycles.typed"
    assert cycles(imports(package.name, type_checking=False)) == [late]
    assert cycles(imports(package.name, type_checking=True)) == [late, typed]
