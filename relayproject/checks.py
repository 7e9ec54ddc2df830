"""Django system checks of the settings; the rules are in validation.py."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from relayproject.validation import advice, problems, remarks


@register()
def settings_follow_the_rules(**_kwargs: Any) -> list[CheckMessage]:
    """relay.E001 and above: errors, which prevent a start; relay.W003."""
    errors = [Error(problem.sentence, hint=problem.hint, id=problem.id) for problem in problems(settings)]
    return [*errors, *(Warning(found.sentence, hint=found.hint, id=found.id) for found in remarks())]


@register(Tags.security, deploy=True)
def settings_fit_a_public_machine(**_kwargs: Any) -> list[CheckMessage]:
    """relay.W001 and above: warnings of `check --deploy`."""
    return [Warning(found.sentence, hint=found.hint, id=found.id) for found in advice(settings)]
