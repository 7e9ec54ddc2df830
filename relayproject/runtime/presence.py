"""Tells whether the database is there, in a sentence that names `serve`; for servers started by hand."""

from django.conf import settings

from relayproject.runtime.refusal import Refusal

ADVICE = "start one with `python manage.py serve` (or `make run`), or set DATABASE_URL"


def require_database() -> None:
    """Raise Refusal unless the database of the settings accepts a connection (within 3 seconds)."""
    import psycopg

    if not settings.DATABASE_URL:
        raise Refusal(f"No database runs for this checkout: {ADVICE}.")
    try:
        psycopg.connect(settings.DATABASE_URL, connect_timeout=3).close()
    except psycopg.OperationalError as error:
        raise Refusal(f"The database does not answer ({reason(error)}): {ADVICE}.") from error


def reason(error: Exception) -> str:
    """The last line of a driver's error, which is the one that says why."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__
