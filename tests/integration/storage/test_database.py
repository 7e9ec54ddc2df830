"""How the relay's own connections are described."""

from typing import Any

import pytest
from django.db import connections
from psycopg.conninfo import conninfo_to_dict

from relay.storage.database import conninfo


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The settings of the primary, to be changed."""
    settings = {
        "NAME": "n",
        "USER": "u",
        "PASSWORD": "p w",
        "HOST": "h",
        "PORT": "5",
        "OPTIONS": {"sslmode": "require"},
    }
    monkeypatch.setattr(connections["default"], "settings_dict", settings)
    return settings


def test_the_relay_connects_as_django_does(described: dict[str, Any]) -> None:
    found = conninfo_to_dict(conninfo(application_name="relay"))
    assert (found["dbname"], found["password"], found["sslmode"], found["application_name"]) == (
        "n",
        "p w",
        "require",
        "relay",
    )


def test_the_operators_options_of_the_session_stay(described: dict[str, Any]) -> None:
    """Without its search_path the relay would not find the tables that Django made."""
    described["OPTIONS"]["options"] = "-c search_path=relay"
    found = conninfo_to_dict(conninfo(options="-c jit=off"))
    assert found["options"] == "-c search_path=relay -c jit=off"


def test_djangos_own_options_are_not_libpqs(described: dict[str, Any]) -> None:
    described["OPTIONS"]["pool"] = True
    assert "pool" not in conninfo_to_dict(conninfo())
