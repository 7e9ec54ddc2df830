"""Checks at the start of a server without supervisor that the database answers."""

from django.conf import settings

from relayproject.runtime.errors import StartupError, reason

ADVICE = "start one with `python manage.py serve` (or `make run`), or set DATABASE_URL"


def require_database() -> None:
    """Raise StartupError unless DATABASE_URL accepts a connection within 3 seconds."""
    import psycopg

    if not settings.DATABASE_URL:
        raise StartupError(f"No database runs for this checkout: {ADVICE}.")
    try:
        psycopg.connect(settings.DATABASE_URL, connect_timeout=3).close()
    except psycopg.OperationalError as error:
        raise StartupError(f"The database does not answer ({reason(error)}): {ADVICE}.") from error
