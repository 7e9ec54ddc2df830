"""DATABASES: what a URL and the settings become."""

from pathlib import Path
from typing import Any

from relayproject.databases import SESSION, databases_of
from relayproject.env_urls import Replica

URL = "postgresql://u:p@db1/relay"


def made(primary: str = URL, *replicas: Replica, **settings: Any) -> dict[str, dict[str, Any]]:
    given = {
        "application_name": "relay django a/1",
        "connect_seconds": 2,
        "statement_seconds": None,
        "has_pooler": False,
    }
    return databases_of(primary, replicas, socket_folder=Path("/data/run"), **{**given, **settings})


def test_the_embedded_server_is_reached_in_its_folder() -> None:
    assert made("")["default"]["HOST"] == "/data/run"


def test_hosts_of_the_parameters_are_fields_and_the_one_that_writes_is_taken() -> None:
    default = made("postgresql://u:p@/relay?host=a,b&port=1,2")["default"]
    assert (default["HOST"], default["PORT"]) == ("a,b", "1,2")
    assert default["OPTIONS"]["target_session_attrs"] == "read-write"
    assert not {"host", "port"} & default["OPTIONS"].keys()


def test_a_parameter_of_the_url_goes_before_the_default() -> None:
    options = made(f"{URL}?connect_timeout=9")["default"]["OPTIONS"]
    assert (options["connect_timeout"], options["tcp_user_timeout"]) == (9, 3_000)


def test_statements_have_a_limit_beside_the_options_of_the_url() -> None:
    options = made(f"{URL}?options=-c%20jit%3Doff", statement_seconds=1.5)["default"]["OPTIONS"]
    assert options["options"] == f"{SESSION} -c statement_timeout=1500 -c jit=off"


def test_a_pooler_gets_no_option_and_no_cursor() -> None:
    default = made(statement_seconds=1.5, has_pooler=True)["default"]
    assert "options" not in default["OPTIONS"]
    assert default["DISABLE_SERVER_SIDE_CURSORS"]


def test_a_long_name_keeps_its_end() -> None:
    name = made(application_name="x" * 100 + "/12")["default"]["OPTIONS"]["application_name"]
    assert (len(name), name[-3:]) == (63, "/12")


def test_tests_read_a_replica_at_the_primary() -> None:
    databases = made(URL, Replica("replica_1", "postgresql://u@db2/relay", 1, ""))
    assert (databases["replica_1"]["HOST"], databases["replica_1"]["TEST"]) == ("db2", {"MIRROR": "default"})
