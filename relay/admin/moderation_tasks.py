"""What an operator can do: each task with its form, its permission and its action."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from django.forms import Form

from relay.admin import moderation_actions as actions
from relay.admin.moderation_actions import Action
from relay.admin.moderation_forms import (
    BanKeyForm,
    EventForm,
    KeyForm,
    KindForm,
    LiftForm,
    NetworkForm,
    RetentionForm,
)
from relay.services import moderation


@dataclass(frozen=True, slots=True)
class Task:
    """`permission` as `app.codename`; `back`: the name of the URL that follows. `run(given, by)` may raise
    CannotModerate.
    """

    title: str
    button: str
    form: type[Form]
    permission: str
    back: str
    run: Action
    explanation: str = ""


TASKS: Final[Mapping[str, Task]] = {
    "ban-key": Task(
        "Ban a public key",
        "Ban",
        BanKeyForm,
        "relay.add_bannedkey",
        "relay_bannedkey_changelist",
        actions.ban_key,
        "Its events and logins are refused. It may still ask to vanish (NIP-62).",
    ),
    "unban-key": Task(
        "Lift the ban of a public key",
        "Lift",
        LiftForm,
        "relay.delete_bannedkey",
        "relay_bannedkey_changelist",
        actions.on_target(moderation.unban_key, "Ban lifted"),
        "Events that were removed do not come back by themselves.",
    ),
    "allow-key": Task(
        "Allow a public key",
        "Allow",
        KeyForm,
        "relay.add_allowedkey",
        "relay_allowedkey_changelist",
        actions.on_target(moderation.allow_key, "Key allowed"),
        "It may publish where RELAY_RESTRICTED_WRITES is on.",
    ),
    "unallow-key": Task(
        "Remove a public key from the list",
        "Remove",
        LiftForm,
        "relay.delete_allowedkey",
        "relay_allowedkey_changelist",
        actions.on_target(moderation.unallow_key, "Key no longer allowed"),
    ),
    "remove-event": Task(
        "Remove an event",
        "Remove",
        EventForm,
        "relay.add_removedevent",
        "relay_removedevent_changelist",
        actions.remove_event,
        "It is deleted, in all processes at once, and refused when it is published again.",
    ),
    "allow-event": Task(
        "Allow an event again",
        "Allow",
        LiftForm,
        "relay.delete_removedevent",
        "relay_removedevent_changelist",
        actions.on_target(moderation.allow_event, "Event allowed again"),
        "It is accepted when it is published again.",
    ),
    "block-address": Task(
        "Block an address",
        "Block",
        NetworkForm,
        "relay.add_blockednetwork",
        "relay_blockednetwork_changelist",
        actions.block_address,
        "Its WebSockets are closed within a second, and new ones are refused. It can still reach the admin.",
    ),
    "unblock-address": Task(
        "Unblock an address",
        "Unblock",
        LiftForm,
        "relay.delete_blockednetwork",
        "relay_blockednetwork_changelist",
        actions.on_target(moderation.unblock_network, "Address unblocked"),
    ),
    "set-kind": Task(
        "Allow or deny a kind", "Save", KindForm, "relay.add_kindrule", "relay_kindrule_changelist", actions.set_kind
    ),
    "forget-kind": Task(
        "Lift the rule of a kind",
        "Lift",
        LiftForm,
        "relay.delete_kindrule",
        "relay_kindrule_changelist",
        actions.forget_kind,
    ),
    "add-retention": Task(
        "Add a retention rule",
        "Add",
        RetentionForm,
        "relay.add_retentionrule",
        "relay_retentionrule_changelist",
        actions.add_retention,
        "Older events are hidden within a minute, then deleted for good. Replaceable and addressable events, deletions "
        "and requests to vanish are always kept.",
    ),
    "lift-retention": Task(
        "Lift a retention rule",
        "Lift",
        LiftForm,
        "relay.delete_retentionrule",
        "relay_retentionrule_changelist",
        actions.on_target(moderation.forget_rule, "Retention rule lifted"),
        "Events that were removed do not come back by themselves.",
    ),
    "end-connection": Task(
        "End a connection",
        "End",
        LiftForm,
        "relay.delete_connection",
        "relay_connection_changelist",
        actions.on_target(moderation.end_connection, "Connection ended"),
        "It is closed within a second. The client may connect again, unless you block its address.",
    ),
    "close-report": Task(
        "Close a report",
        "Close",
        LiftForm,
        "relay.change_report",
        "relay_report_changelist",
        actions.on_target(moderation.close_report, "Report closed"),
        "It leaves the queue, until it is reported again.",
    ),
}
"""By the last part of their URL."""
