"""A process that shows no page of the admin imports none; a check of the project checks them all."""

import os
import subprocess
import sys

START = "import django, sys; django.setup(); "
SHOW_PAGES = """
pages = ("relay.admin.", "analytics.admin.", "replication.admin.")
print(*(name for name in sys.modules if f"{name}.".startswith(pages)))
"""
CHECK_PAGES = """
from django.contrib import admin
from django.core.checks import Tags, run_checks
assert not admin.site._registry
assert run_checks(tags=[Tags.admin]) == []
print(*(model._meta.model_name for model in admin.site._registry))
"""


def said_by(code: str) -> list[str]:
    """The words that a fresh process prints."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "relayproject.settings", "SECRET_KEY": "a key for tests" * 4}
    done = subprocess.run(
        [sys.executable, "-c", START + code], env=environment, check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout.split()


def test_a_process_without_pages_imports_none() -> None:
    assert said_by(SHOW_PAGES) == []


def test_a_check_of_the_admin_checks_all_pages() -> None:
    assert {"event", "region", "setting"} <= set(said_by(CHECK_PAGES))
