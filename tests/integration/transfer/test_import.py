"""An import on the real database: outcomes, the log, going on after an end, and the way from store to store."""

import gzip
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from relay.conf import config
from relay.protocol.limits import Limits
from relay.storage.store import read_store
from relay.transfer.exporting import export, parse_filters
from relay.transfer.importing import ImportFault
from relay.transfer.run import ImportRun
from relay.transfer.session import Options
from relay.transfer.state import StateFault
from tests.events import NOW, pubkey_of, secret, sign_event
from tests.integration.storage.scribe import Tables

pytestmark = pytest.mark.django_db(transaction=True)
ONE = Options(processes=1)


def write(path: Path, lines: Sequence[object]) -> Path:
    path.write_text("".join([f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines]))
    return path


def run(path: Path, options: Options = ONE, *, resume: bool = False) -> ImportRun:
    state = path.with_name(path.name + ".state")
    made = ImportRun(str(path), state, read_store(), config(), resume=resume, quiet=True)
    assert made.run(options)
    return made


def taken(made: ImportRun) -> dict[str, int]:
    return made.state.tally.taken


def test_each_line_has_the_outcome_of_an_event(tables: Tables, tmp_path: Path) -> None:
    oldest, old, new = (sign_event(kind=0, content=str(at), created_at=at) for at in (NOW - 2, NOW - 1, NOW))
    note, forged = sign_event(content="note"), sign_event(content="forged")
    lines: list[Any] = [old, new, note, note, "junk", "", {**forged, "sig": note["sig"]}, {**note, "content": "other"}]

    made = run(write(tmp_path / "events", [*lines, oldest]))

    assert taken(made) == {"stored": 3, "duplicate": 1, "outdated": 1}
    refused = made.state.tally.refused
    assert {reason: [one.line for one in what.examples] for reason, what in refused.items()} == {
        "invalid: not JSON: unexpected character, expected a JSON value": [5],
        "invalid: the signature is not the author's": [7],
        "invalid: the id is not the hash of the event": [8],
    }
    assert tables.ids() == {new["id"], note["id"]}
    tables.assert_consistent()


def test_the_log_has_the_order_of_the_input(tables: Tables, tmp_path: Path) -> None:
    events = [sign_event(content=str(number)) for number in range(1_200)]

    run(write(tmp_path / "events", events), Options(processes=2))

    assert [event_id for _, _, event_id in tables.log()] == [event["id"] for event in events]


def test_trusted_input_may_have_other_signatures_but_no_other_ids(tables: Tables, tmp_path: Path) -> None:
    unsigned = {**sign_event(), "sig": "0" * 128}

    made = run(write(tmp_path / "events", [unsigned, {**unsigned, "content": "x"}]), Options(1, trusted=True))

    assert tables.ids() == {unsigned["id"]}
    assert list(made.state.tally.refused) == ["invalid: the id is not the hash of the event"]


def test_an_import_again_changes_nothing(tables: Tables, tmp_path: Path) -> None:
    path = write(tmp_path / "events", [sign_event(content=str(number)) for number in range(10)])
    run(path)

    assert taken(run(path)) == {"duplicate": 10}
    assert len(tables.log()) == 10


def test_a_whole_import_leaves_no_state_file(tables: Tables, tmp_path: Path) -> None:
    run(write(tmp_path / "events", [sign_event()]))

    assert [path.name for path in tmp_path.iterdir()] == ["events"]


def test_input_that_ends_too_early_is_imported_and_goes_on_when_it_is_whole(tables: Tables, tmp_path: Path) -> None:
    events = [sign_event(content=str(number)) for number in range(600)]
    whole = gzip.compress(b"".join([json.dumps(event).encode() + b"\n" for event in events]))
    (path := tmp_path / "events").write_bytes(whole[:-10])
    with pytest.raises(ImportFault, match="cannot be read any further"):
        run(path)
    path.write_bytes(whole)

    made = run(path, resume=True)

    assert made.state.tally.total - taken(made).get("duplicate", 0) == 600
    assert tables.ids() == {event["id"] for event in events}
    assert len(tables.log()) == 600


def test_an_import_does_not_go_on_with_other_input(tables: Tables, tmp_path: Path) -> None:
    path = tmp_path / "events"
    packer = zlib.compressobj(wbits=31)
    path.write_bytes(packer.compress(b"junk\n" * 1_000) + packer.flush(zlib.Z_SYNC_FLUSH))
    with pytest.raises(ImportFault):
        run(path)
    path.write_bytes(b"other\n" * 1_000)

    with pytest.raises(StateFault, match="does not begin with the 1,000 lines"):
        run(path, resume=True)


def backup(path: Path, *, newest_first: bool = False) -> list[str]:
    """All that is stored, in a file; its lines."""
    export(parse_filters([], Limits()), str(path), "none", private=True, newest_first=newest_first, quiet=True)
    return path.read_text().splitlines()


def test_an_export_makes_an_equal_store(tables: Tables, tmp_path: Path) -> None:
    authors = [secret(number) for number in range(1, 4)]
    events = [
        sign_event(
            author, kind=kind, content=f"\u0000é{number}", created_at=NOW + number, tags=[["t", "a"], ["d", "x"]]
        )
        for author in authors
        for kind in (0, 1, 1059, 4, 30_023)
        for number in range(3)
    ]
    run(write(tmp_path / "events", events))

    first, ids = backup(tmp_path / "first"), tables.ids()
    tables.clear()
    run(tmp_path / "first")

    assert backup(tmp_path / "second") == first
    assert tables.ids() == ids
    tables.assert_consistent()


@pytest.mark.parametrize("newest_first", [False, True])
def test_what_is_gone_stays_gone_in_a_store_made_of_an_export(
    tables: Tables, tmp_path: Path, newest_first: bool
) -> None:
    author, leaver, wrapper = (secret(number) for number in range(1, 4))
    deleted = sign_event(author, content="deleted")
    kept = sign_event(author, content="kept", created_at=NOW + 5)
    old, new = (sign_event(author, kind=30_000, tags=[["d", "x"]], created_at=at) for at in (NOW, NOW + 9))
    place = ["a", f"30000:{pubkey_of(author)}:x"]
    deletion = sign_event(author, kind=5, tags=[["e", deleted["id"]], place], created_at=NOW + 3)
    left = sign_event(leaver, content="left")
    request = sign_event(leaver, kind=62, tags=[["relay", "ALL_RELAYS"]], created_at=NOW + 3)
    back = sign_event(leaver, content="back", created_at=NOW + 4)
    wrap, spared = (
        sign_event(wrapper, kind=1059, content=text, tags=[["p", pubkey_of(leaver)]]) for text in ("wrap", "spared")
    )
    run(write(tmp_path / "events", [deleted, old, left, wrap, deletion, request, kept, new, back, spared]))
    served = {event["id"] for event in (deletion, kept, new, back, spared)}
    assert tables.ids() == served

    lines = backup(tmp_path / "first", newest_first=newest_first)
    assert {json.loads(line)["id"] for line in lines} == served | {request["id"]}
    tables.clear()
    run(tmp_path / "first")

    assert tables.ids() == served
    assert backup(tmp_path / "second", newest_first=newest_first) == lines
    again = run(write(tmp_path / "again", [deleted, old, left]))
    assert again.state.tally.taken == {}
    assert tables.ids() == served


def test_requests_to_vanish_are_in_backups_alone(tables: Tables, tmp_path: Path) -> None:
    request = sign_event(kind=62, tags=[["relay", "ALL_RELAYS"]])
    run(write(tmp_path / "events", [request]))

    def ids(wanted: dict[str, Any], *, private: bool) -> list[str]:
        path = tmp_path / "out"
        export(
            parse_filters([json.dumps(wanted)], Limits()),
            str(path),
            "none",
            private=private,
            newest_first=False,
            quiet=True,
        )
        return [json.loads(line)["id"] for line in path.read_text().splitlines()]

    asking: list[dict[str, Any]] = [{}, {"kinds": [62]}, {"ids": [request["id"]]}]
    asking.append({"authors": [request["pubkey"]], "until": NOW})
    others: list[dict[str, Any]] = [
        {"kinds": [1]},
        {"since": NOW + 1},
        {"limit": 5},
        {"#t": ["x"]},
        {"ids": ["0" * 64]},
    ]

    assert ids({}, private=False) == []
    assert [ids(wanted, private=True) for wanted in asking] == [[request["id"]]] * 4
    assert [ids(wanted, private=True) for wanted in others] == [[]] * 5
