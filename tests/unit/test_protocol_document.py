"""docs/protocol.md lists every statement of the protocol that concerns this relay, with its tests or a reason.

A test belongs to the statement in its name: test_01_k06_tie_keeps_lowest_id to 01-K06. The third column is made from
those names: `python -m tests.unit.test_protocol_document` writes it anew. The other two are written by people.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "protocol.md"
BEGUN = re.compile(r"test_(\d\d_[efks]?\d+|x_\d|answer)_")
REASON = re.compile(r"(Not built yet|Decided otherwise|Nothing to show): ")


def numbered(prefix: str, last: int, width: int = 1) -> list[str]:
    return [f"{prefix}{number:0{width}}" for number in range(1, last + 1)]


STATEMENTS = [
    *numbered("01-E", 22, 2), *numbered("01-K", 10, 2), *numbered("01-F", 19, 2), *numbered("01-S", 14, 2),
    "02-1", "65-1", "37-1", "56-1", *numbered("09-", 22), *numbered("11-", 8), *numbered("40-", 6), *numbered("62-", 7),
    *numbered("13-", 3), *numbered("42-", 11), *numbered("59-", 8), "17-1", "04-1", *numbered("70-", 3),
    *numbered("67-", 3), "86-5", "86-7", "86-8", *numbered("X-", 7),
    *(f"answer-{situation}" for situation in (
        "stored", "known", "older", "invalid", "blocked", "pow", "rate-limited", "login-needed", "restricted",
        "unheard", "error", "bad-filter", "unsupported", "auth", "count", "neg", "unparsable",
    )),
]  # fmt: skip
"""All of them. To take one out here drops it from the relay."""

NAMES = {f"test_{statement.lower().replace('-', '_')}": statement for statement in STATEMENTS}


def statement_of(test: str) -> str | None:
    """The statement that a test is named after."""
    fitting = [name for name in NAMES if test == name or test.startswith(f"{name}_")]
    return NAMES[max(fitting, key=len)] if fitting else None


@cache
def all_tests() -> list[str]:
    """Every test function as `file::name`, its file below tests/."""
    return sorted(
        f"{path.relative_to(ROOT / 'tests')}::{node.name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


@cache
def by_statement() -> dict[str | None, list[str]]:
    """The tests that are named after each statement, those over a whole relay first."""
    found: dict[str | None, list[str]] = {}
    for test in sorted(all_tests(), key=lambda test: (not test.startswith("acceptance"), test)):
        found.setdefault(statement_of(test.partition("::")[2]), []).append(test)
    return found


def rows() -> list[list[str]]:
    """The rows of the document's tables: statement, what the relay does, its tests."""
    lines = [line for line in DOCUMENT.read_text().splitlines() if re.match(r"\| (?:[0-9X]\d?-|answer-)", line)]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def cell(statement: str) -> str:
    return "<br>".join(f"`{test}`" for test in by_statement().get(statement, []))


def test_every_statement_has_one_row_and_no_other_has() -> None:
    assert [row[0] for row in rows()] == STATEMENTS


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_statement_has_tests_or_a_reason(statement: str) -> None:
    (row,) = [row for row in rows() if row[0] == statement]

    assert len(row) == 3
    assert len(row[1]) > 10, "it says nothing"
    assert row[2] or REASON.search(row[1]), "neither a test nor a reason"


def test_the_document_names_the_tests_that_there_are() -> None:
    differing = [row[0] for row in rows() if row[2] != cell(row[0])]

    assert differing == [], "bring it up to date: python -m tests.unit.test_protocol_document"


def test_every_test_that_begins_as_a_statement_is_named_after_one() -> None:
    names = [test.partition("::")[2] for test in all_tests()]

    assert [name for name in names if BEGUN.match(name) and statement_of(name) is None] == []


def write() -> None:
    """Write the third column anew."""
    lines = DOCUMENT.read_text().splitlines()
    for number, line in enumerate(lines):
        cells = [part.strip() for part in line.strip("|").split(" | ")]
        if line.startswith("| ") and cells[0] in STATEMENTS:
            lines[number] = f"| {cells[0]} | {cells[1]} | {cell(cells[0])} |"
    DOCUMENT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    write()
