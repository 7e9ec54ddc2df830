"""The rule who may read what is stated in one place, and in its SQL form."""

import ast
from collections.abc import Iterator
from pathlib import Path

from relay.protocol.visibility import NEVER_COPIED_KINDS

RELAY = Path(__file__).parents[3] / "relay"
STATED_IN = {"protocol/kinds.py", "protocol/visibility.py", "storage/visibility_sql.py"}
"""The rule, its constants, and its SQL form."""

CONSTANTS = {
    "ENCRYPTED_DIRECT_MESSAGE",
    "GIFT_WRAP",
    "EPHEMERAL_GIFT_WRAP",
    "AUTHOR_AND_RECIPIENT_KINDS",
    "RECIPIENT_KINDS",
    "AUTHOR_KINDS",
    "LOGIN_KINDS",
    "DRAFTS",
    "UNREADABLE_KINDS",
    "PRIVATE_KINDS",
    "NEVER_COPIED_KINDS",
}


def mentions(tree: ast.AST) -> Iterator[str]:
    """Names of the rule's constants, and the numbers of kinds that mean nothing else."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            name = node.id if isinstance(node, ast.Name) else node.attr
            if name in CONSTANTS:
                yield name
        elif isinstance(node, ast.Constant) and node.value in (1_059, 21_059, 22_242, 27_235, 31_234, 10_013):
            yield str(node.value)


def test_no_other_module_of_the_relay_decides_visibility() -> None:
    found = {
        str(path.relative_to(RELAY)): sorted(set(mentions(ast.parse(path.read_text()))))
        for path in RELAY.rglob("*.py")
        if path.parent.name != "admin"
    }
    assert {name for name, names in found.items() if names} == STATED_IN


def test_no_sql_file_decides_visibility() -> None:
    kinds = [str(kind) for kind in sorted(NEVER_COPIED_KINDS) if kind > 1_000]
    assert [path.name for path in RELAY.rglob("*.sql") if any(kind in path.read_text() for kind in kinds)] == []
