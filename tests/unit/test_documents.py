"""Links between documents lead somewhere, and every row of a table has the cells of its head."""

import re
from pathlib import Path

import pytest

from relay.caching.record import FORMAT
from relayproject import settings

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.S)
HEADING = re.compile(r"^#+ (.+)$", re.M)
NOT_OF_AN_ANCHOR = re.compile(r"[^\w\- ]")
CELL_END = re.compile(r"(?<!\\)\|")

ARCHITECTURE_LINES = 260
LINE_CHARACTERS = 140


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a document: lower case, no punctuation, hyphens for spaces."""
    headings = HEADING.findall(document.read_text())
    return {NOT_OF_AN_ANCHOR.sub("", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(document: Path) -> list[str]:
    """Relative links of the document whose file, or whose heading in it, does not exist."""
    broken = []
    for groups in LINK.findall(CODE.sub("", document.read_text())):
        link = "".join(groups)
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


def crooked_rows(document: Path) -> list[int]:
    """Line numbers of the rows of tables that have more or fewer cells than the row of dashes above them."""
    crooked, width = [], 0
    for number, line in enumerate(document.read_text().splitlines(), 1):
        if not line.startswith("|"):
            width = 0
            continue
        cells = len(CELL_END.findall(line))
        if not width:
            width = cells
        if cells != width or not line.endswith("|"):
            crooked.append(number)
    return crooked


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_to_files_and_headings_of_the_repository_exist(document: Path) -> None:
    assert broken_links(document) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_rows_of_a_table_have_as_many_cells_as_its_head(document: Path) -> None:
    assert crooked_rows(document) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_lines_outside_tables_fit_a_screen(document: Path) -> None:
    lines = [line for line in document.read_text().splitlines() if not line.startswith("|")]
    assert [line for line in lines if len(line) > LINE_CHARACTERS] == []


def test_the_list_of_operators_documents_is_whole() -> None:
    folder = ROOT / "docs/operations"
    listed = set(re.findall(r"^\| \[([a-z-]+\.md)\]", (folder / "README.md").read_text(), re.M))
    assert listed == {path.name for path in folder.glob("*.md")} - {"README.md"}


def test_every_job_of_the_relay_is_documented() -> None:
    jobs = {name for name, (task, _, _) in settings.JOBS.items() if task.startswith("relay.tasks")}
    named = set(re.findall(r"^\| `([a-z-]+)`", (ROOT / "docs/operations/analytics.md").read_text(), re.M))
    assert jobs
    assert jobs - named == set()


def test_the_key_format_of_the_shared_cache_is_documented() -> None:
    assert f"`relay:{FORMAT}:{{<store>:" in (ROOT / "docs/caching.md").read_text()


def test_the_architecture_is_read_in_one_sitting() -> None:
    lines = (ROOT / "ARCHITECTURE.md").read_text().splitlines()
    assert len(lines) <= ARCHITECTURE_LINES
