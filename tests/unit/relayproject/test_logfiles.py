"""The logs of the embedded servers are bounded while the servers write."""

from pathlib import Path

from relayproject.runtime.logfiles import fresh, previous, rotate


def test_a_log_that_is_too_large_is_emptied_under_its_writer(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with fresh(log) as server:
        server.write(b"old\n" * 25 + b"newer\n")
        server.flush()
        assert rotate(log, most_bytes=50)
        server.write(b"newest\n")

    assert log.read_bytes() == b"newest\n"
    assert previous(log).read_bytes() == (b"old\n" * 25 + b"newer\n")[-50:]


def test_a_small_log_and_one_that_is_missing_stay_as_they_are(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    assert not rotate(log)
    log.write_bytes(b"line\n")

    assert not rotate(log, most_bytes=50)
    assert log.read_bytes() == b"line\n"


def test_a_new_start_keeps_what_the_last_one_wrote(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    for text in (b"first\n", b"second\n"):
        with fresh(log) as server:
            server.write(text)

    assert log.read_bytes() == b"second\n"
    assert previous(log).read_bytes() == b"first\n"
