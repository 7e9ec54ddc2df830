"""The operator's databases of addresses: what they say, and that they are exchanged while they are used."""

import logging
import os
from collections import Counter
from pathlib import Path
from threading import Event, Thread

import pytest

from relay.metrics import counters
from replication.geo.database import GeoDatabase
from replication.geo.records import name_in, place_in
from replication.geo.sphere import Place
from tests.mmdb import record, write_mmdb

LONDON, OSAKA = Place(51.5, -0.125), Place(34.5, 135.5)
AT_LONDON, AT_OSAKA = record(51.5, -0.125, "London", "GB"), record(34.5, 135.5, "Osaka", "JP")
NETWORKS = {"81.2.69.0/24": AT_LONDON, "2001:db8:1::/48": AT_OSAKA}


@pytest.fixture(autouse=True)
def fresh_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "geoip_lookups", Counter())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_mmdb(tmp_path / "city.mmdb", NETWORKS)


@pytest.fixture
def database(file: Path, tmp_path: Path) -> GeoDatabase:
    found = GeoDatabase([file], tmp_path / "copies")
    found.refresh()
    return found


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("81.2.69.142", LONDON),
        ("::ffff:81.2.69.142", LONDON),
        ("2001:db8:1::7", OSAKA),
        ("81.2.70.1", None),
        ("127.0.0.1", None),
    ],
)
def test_an_address_has_the_place_of_its_network(database: GeoDatabase, address: str, place: Place | None) -> None:
    assert database.place_of(address) == place


@pytest.mark.parametrize("text", ["", "unknown", "81.2.69", "fe80::1%%", "81.2.69.142:80", "\x00", "9" * 4_000])
def test_what_is_no_address_has_no_place_and_is_counted_as_failed(database: GeoDatabase, text: str) -> None:
    assert database.place_of(text) is None
    assert counters.geoip_lookups == {"failed": 1}


def test_look_ups_are_counted_by_outcome(database: GeoDatabase) -> None:
    for address in ("81.2.69.1", "81.2.69.2", "10.0.0.1"):
        database.place_of(address)
    assert counters.geoip_lookups == {"found": 2, "unknown": 1}


def test_without_a_file_every_address_is_unknown() -> None:
    assert GeoDatabase([]).place_of("81.2.69.142") is None


def test_a_file_that_does_not_exist_yet_is_used_once_it_does(tmp_path: Path) -> None:
    database = GeoDatabase([tmp_path / "city.mmdb"], tmp_path / "copies")
    database.refresh()
    assert database.place_of("81.2.69.142") is None
    assert database.broken == 1
    write_mmdb(tmp_path / "city.mmdb", NETWORKS)
    database.refresh()
    assert database.place_of("81.2.69.142") == LONDON
    assert database.broken == 0


def test_a_new_file_takes_the_place_of_the_one_before(database: GeoDatabase, file: Path) -> None:
    write_mmdb(file, {"81.2.69.0/24": AT_OSAKA})
    assert database.place_of("81.2.69.142") == LONDON
    database.refresh()
    assert database.place_of("81.2.69.142") == OSAKA


def test_no_look_up_fails_while_files_are_exchanged(database: GeoDatabase, file: Path) -> None:
    wrong: list[object] = []
    over = Event()

    def look() -> None:
        while not over.is_set():
            if (place := database.place_of("81.2.69.142")) not in (LONDON, OSAKA):
                wrong.append(place)

    looker = Thread(target=look)
    looker.start()
    for content in (AT_OSAKA, AT_LONDON) * 10:
        write_mmdb(file, {"81.2.69.0/24": content})
        database.refresh()
    over.set()
    looker.join()
    assert wrong == []
    assert set(counters.geoip_lookups) == {"found"}


@pytest.mark.parametrize("broken", [b"", b"no database", b"\x00" * 5_000], ids=["empty", "text", "zeros"])
def test_a_broken_new_file_leaves_the_one_before_in_use_and_says_so_once(
    database: GeoDatabase, file: Path, broken: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file.with_suffix(".new").write_bytes(broken)
    file.with_suffix(".new").replace(file)
    with caplog.at_level(logging.WARNING, "relay.geo"):
        database.refresh()
        database.refresh()
    assert database.place_of("81.2.69.142") == LONDON
    assert database.broken == 1
    assert [line.getMessage().endswith("; the one before stays in use") for line in caplog.records] == [True]


def test_half_a_file_is_refused_and_the_whole_one_used_when_it_is_written(database: GeoDatabase, file: Path) -> None:
    whole = write_mmdb(file.with_name("next.mmdb"), {"81.2.69.0/24": AT_OSAKA}).read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    database.refresh()
    assert database.place_of("81.2.69.142") == LONDON
    file.write_bytes(whole)
    database.refresh()
    assert database.place_of("81.2.69.142") == OSAKA


def test_a_file_that_is_shortened_in_place_does_not_end_the_process(database: GeoDatabase, file: Path) -> None:
    """A map of the file itself would: reading beyond its end is SIGBUS."""
    os.truncate(file, 0)
    assert database.place_of("81.2.69.142") == LONDON
    assert database.place_of("2001:db8:1::7") == OSAKA


def test_a_file_that_is_gone_leaves_its_data_in_use_and_may_come_back(database: GeoDatabase, file: Path) -> None:
    file.rename(file.with_suffix(".away"))
    database.refresh()
    assert database.place_of("81.2.69.142") == LONDON
    assert database.broken == 1
    file.with_suffix(".away").rename(file)
    database.refresh()
    assert database.broken == 0


def test_a_database_without_coordinates_is_refused(tmp_path: Path) -> None:
    file = write_mmdb(tmp_path / "country.mmdb", {"81.2.69.0/24": {"country": {"iso_code": "GB"}}})
    database = GeoDatabase([file], tmp_path / "copies")
    database.refresh()
    assert "no coordinates" in database.files[0].fault


def test_a_copy_that_cannot_be_made_is_a_fault_and_is_tried_again(file: Path, tmp_path: Path) -> None:
    (tmp_path / "copies").write_text("a file where the folder should be")
    database = GeoDatabase([file], tmp_path / "copies")
    database.refresh()
    assert database.files[0].fault
    (tmp_path / "copies").unlink()
    (tmp_path / "copies").mkdir()
    database.refresh()
    assert database.place_of("81.2.69.142") == LONDON


def test_workers_share_one_copy_and_older_ones_are_removed(database: GeoDatabase, file: Path, tmp_path: Path) -> None:
    other = GeoDatabase([file], tmp_path / "copies")
    other.refresh()
    assert len(list((tmp_path / "copies").iterdir())) == 1
    write_mmdb(file, {"81.2.69.0/24": AT_OSAKA})
    database.refresh()
    assert len(list((tmp_path / "copies").iterdir())) == 1
    assert other.place_of("81.2.69.142") == LONDON
    other.refresh()
    assert other.place_of("81.2.69.142") == OSAKA


def test_copies_that_are_not_used_any_more_are_removed_at_the_next_start(
    database: GeoDatabase, file: Path, tmp_path: Path
) -> None:
    (used,) = (tmp_path / "copies").iterdir()
    begun, left = used.with_suffix(".begun.new"), used.with_suffix(".left.new")
    for path in (begun, left):
        path.write_bytes(b"half")
    os.utime(left, (0, 0))
    write_mmdb(tmp_path / "other.mmdb", NETWORKS)
    other = GeoDatabase([tmp_path / "other.mmdb", file], tmp_path / "copies")
    other.refresh()
    assert len(list((tmp_path / "copies").glob("*.mmdb"))) == 2
    assert (begun.exists(), left.exists()) == (True, False)
    GeoDatabase([file], tmp_path / "copies")
    assert list((tmp_path / "copies").glob("*.mmdb")) == [used]


def test_files_are_asked_in_their_order(tmp_path: Path) -> None:
    only_4 = write_mmdb(tmp_path / "4.mmdb", {"81.2.69.0/24": AT_LONDON}, ip_version=4)
    both = write_mmdb(tmp_path / "6.mmdb", {"81.2.69.0/24": AT_OSAKA, "2001:db8:1::/48": AT_OSAKA})
    database = GeoDatabase([only_4, both], tmp_path / "copies")
    database.refresh()
    assert database.place_of("81.2.69.142") == LONDON
    assert database.place_of("2001:db8:1::7") == OSAKA


@pytest.mark.parametrize("part", ["tree", "records"])
def test_a_damaged_new_file_is_refused_though_its_end_is_whole(database: GeoDatabase, file: Path, part: str) -> None:
    whole = write_mmdb(file.with_name("next.mmdb"), {f"81.{n}.0.0/16": AT_OSAKA for n in range(256)}).read_bytes()
    records, end = whole.index(b"Osaka") - 40, whole.rindex(b"\xab\xcd\xefMaxMind.com")
    start, stop = (records // 2, records - 40) if part == "tree" else (records, end)
    file.write_bytes(whole[:start] + b"\xfe" * (stop - start) + whole[stop:])
    database.refresh()
    assert database.broken == 1
    assert database.place_of("81.2.69.142") == LONDON


@pytest.mark.parametrize(
    ("found", "place", "name"),
    [
        (AT_LONDON, LONDON, "London, GB"),
        ({"latitude": 34.5, "longitude": 135.5, "city": "Osaka", "country_code": "JP"}, OSAKA, "Osaka, JP"),
        ({"location": {"latitude": "34.5", "longitude": "135.5"}}, OSAKA, ""),
        ({"latitude": 91.0, "longitude": 0.0}, None, ""),
        ({"location": {"latitude": 1.0}, "country": "x", "city": 7}, None, ""),
        ({"location": None}, None, ""),
        (None, None, ""),
        ("text", None, ""),
    ],
)
def test_the_formats_of_records_that_are_common_are_read(found: object, place: Place | None, name: str) -> None:
    assert place_in(found) == place
    assert name_in(found) == name
