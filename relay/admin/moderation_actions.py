"""What each task of an operator does, and the sentence that it leaves in the log of actions.

An action takes the cleaned data of its form and the name of the operator; it raises CannotModerate as its service does.
"""

import time
from collections.abc import Callable
from typing import Any

from relay.policies.lists import FOR_EVER
from relay.services import moderation

Given = dict[str, Any]
Done = tuple[str, str]
"""What it was done to, and what was done, for the log of actions."""
Action = Callable[[Given, str], Done]


def _end(given: Given) -> int:
    return int(time.time()) + 86_400 * given["days"] if given["days"] else FOR_EVER


def _for(given: Given) -> str:
    return f" for {given['days']} days" if given["days"] else ""


def _because(given: Given) -> str:
    return f" Reason: {given['reason']}" if given["reason"] else ""


def ban_key(given: Given, by: str) -> Done:
    """Ban a key, close its report, and remove what it stored if that is wanted."""
    key = moderation.public_key(given["target"])
    moderation.ban_key(key, by=by, reason=given["reason"], until=_end(given), remove=given["remove"])
    moderation.close_report(key, by=by, reason=given["reason"])
    removed = ", and what it stored is removed" if given["remove"] else ""
    return key, f"Key banned{_for(given)}{removed}.{_because(given)}"


def remove_event(given: Given, by: str) -> Done:
    """Delete an event, refuse it from now on, and close its report."""
    event_id = moderation.event_id(given["target"])
    was_stored = moderation.ban_event(event_id, by=by, reason=given["reason"])
    moderation.close_report(event_id, by=by, reason=given["reason"])
    return event_id, f"Event {'removed' if was_stored else 'refused from now on'}.{_because(given)}"


def block_address(given: Given, by: str) -> Done:
    """Block an address or a network."""
    network = moderation.block_network(given["target"], by=by, reason=given["reason"], until=_end(given))
    return network, f"Address blocked{_for(given)}.{_because(given)}"


def set_kind(given: Given, by: str) -> Done:
    """Allow or deny a kind."""
    kind = given["target"]
    if given["rule"] == "deny":
        moderation.disallow_kind(kind, by=by, reason=given["reason"])
        return f"kind {kind}", f"Kind denied.{_because(given)}"
    moderation.allow_kind(kind, by=by, reason=given["reason"])
    return f"kind {kind}", f"Kind allowed.{_because(given)}"


def forget_kind(given: Given, by: str) -> Done:
    """Lift the rule of a kind."""
    kind = int(given["target"]) if str(given["target"]).isdecimal() else -1
    moderation.forget_kind(kind, by=by, reason=given["reason"])
    return f"kind {kind}", f"Rule of the kind lifted.{_because(given)}"


def add_retention(given: Given, by: str) -> Done:
    """Add a retention rule."""
    rule = moderation.keep_events(given["target"], by=by, reason=given["reason"])
    return rule, f"Retention rule added.{_because(given)}"


def on_target(service: Callable[..., object], done: str) -> Action:
    """The action that calls a service with a target and a reason alone. `done`: the sentence."""

    def run(given: Given, by: str) -> Done:
        service(given["target"], by=by, reason=given["reason"])
        return str(given["target"]), f"{done}.{_because(given)}"

    return run
