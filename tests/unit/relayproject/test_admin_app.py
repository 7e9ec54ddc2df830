"""A process that shows no page of the admin imports none; a check of the project checks them all."""

import os
import subprocess
import sys

from django.contrib import admin
from django.core.checks import run_checks

CODE = """
import django, sys
django.setup()
pages = ("relay.admin.", "analytics.admin.", "replication.admin.")
print(*(name for name in sys.modules if f"{name}.".startswith(pages)))
"""


def test_a_process_without_pages_imports_none() -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "relayproject.settings", "SECRET_KEY": "a key for tests" * 4}

    said = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, check=True, capture_output=True, text=True, timeout=60
    )

    assert said.stdout.split() == []


def test_a_check_of_the_project_checks_the_pages() -> None:
    assert run_checks() == []
    assert {"event", "region", "setting"} <= {model._meta.model_name for model in admin.site._registry}
