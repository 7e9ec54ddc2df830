"""What an operator can do, each with its form, its permission and the sentence that it leaves in the log of actions."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django import forms
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from relay.policies.lists import FOR_EVER
from relay.services import moderation

Given = dict[str, Any]
Done = tuple[str, str]
"""What it was done to, and what was done, for the log of actions."""


def _line(label: str, help_text: str = "") -> forms.CharField:
    return forms.CharField(label=label, help_text=help_text, max_length=500, widget=UnfoldAdminTextInputWidget())


def _reason(*, required: bool = True) -> forms.CharField:
    return forms.CharField(
        label="Reason",
        help_text="Shown to operators only, never to clients.",
        max_length=moderation.LONGEST_REASON,
        required=required,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
    )


def _days() -> forms.IntegerField:
    return forms.IntegerField(
        label="Days",
        help_text="0: for ever.",
        min_value=0,
        max_value=36_500,
        initial=0,
        widget=UnfoldAdminIntegerFieldWidget(),
    )


class KeyForm(forms.Form):
    """A public key."""

    target = _line("Public key", "64 hex digits, npub or nprofile.")
    reason = _reason()


class BanKeyForm(KeyForm):
    """A public key, and what becomes of its events."""

    days = _days()
    remove = forms.BooleanField(
        label="Also remove what it stored",
        help_text="Hidden at once, then deleted. It does not come back when the ban is lifted.",
        required=False,
        initial=True,
        widget=UnfoldBooleanWidget(),
    )


class EventForm(forms.Form):
    """An event."""

    target = _line("Event", "64 hex digits, note or nevent.")
    reason = _reason()


class NetworkForm(forms.Form):
    """An address or a network."""

    target = _line("Address or network", "Such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/64.")
    reason = _reason()
    days = _days()


class KindForm(forms.Form):
    """A kind, and whether it is accepted."""

    target = forms.IntegerField(label="Kind", min_value=0, max_value=65_535, widget=UnfoldAdminIntegerFieldWidget())
    rule = forms.ChoiceField(
        label="Rule",
        choices=[("deny", "Refuse it"), ("allow", "Accept it, also with RELAY_RESTRICTED_KINDS")],
        widget=UnfoldAdminSelectWidget(),
    )
    reason = _reason()


class RetentionForm(forms.Form):
    """A rule of retention."""

    target = _line(
        "Rule",
        "Kinds, then `others` for keys that are not allowed keys, then an age: "
        "* 365d, or 7,1984 others 30d, or 1 forever.",
    )
    reason = _reason()


class LiftForm(forms.Form):
    """An entry that is lifted, or a thing that has no choices."""

    target = forms.CharField(max_length=500, widget=forms.HiddenInput())
    reason = _reason(required=False)


@dataclass(frozen=True, slots=True)
class Task:
    """`permission` as `app.codename`; `back`: the name of the URL that follows. `run(given, by)` may raise
    CannotModerate.
    """

    title: str
    button: str
    form: type[forms.Form]
    permission: str
    back: str
    run: Callable[[Given, str], Done]
    explanation: str = ""


def _end(given: Given) -> int:
    return int(time.time()) + 86_400 * given["days"] if given["days"] else FOR_EVER


def _for(given: Given) -> str:
    return f" for {given['days']} days" if given["days"] else ""


def _because(given: Given) -> str:
    return f" Reason: {given['reason']}" if given["reason"] else ""


def _ban_key(given: Given, by: str) -> Done:
    key = moderation.public_key(given["target"])
    moderation.ban_key(key, by=by, reason=given["reason"], until=_end(given), remove=given["remove"])
    moderation.close_report(key, by=by, reason=given["reason"])
    removed = ", and what it stored is removed" if given["remove"] else ""
    return key, f"Key banned{_for(given)}{removed}.{_because(given)}"


def _ban_event(given: Given, by: str) -> Done:
    event_id = moderation.event_id(given["target"])
    was_stored = moderation.ban_event(event_id, by=by, reason=given["reason"])
    moderation.close_report(event_id, by=by, reason=given["reason"])
    return event_id, f"Event {'removed' if was_stored else 'refused from now on'}.{_because(given)}"


def _block(given: Given, by: str) -> Done:
    network = moderation.block_network(given["target"], by=by, reason=given["reason"], until=_end(given))
    return network, f"Address blocked{_for(given)}.{_because(given)}"


def _kind(given: Given, by: str) -> Done:
    kind = given["target"]
    if given["rule"] == "deny":
        moderation.disallow_kind(kind, by=by, reason=given["reason"])
        return f"kind {kind}", f"Kind denied.{_because(given)}"
    moderation.allow_kind(kind, by=by, reason=given["reason"])
    return f"kind {kind}", f"Kind allowed.{_because(given)}"


def _forget_kind(given: Given, by: str) -> Done:
    kind = int(given["target"]) if str(given["target"]).isdecimal() else -1
    moderation.forget_kind(kind, by=by, reason=given["reason"])
    return f"kind {kind}", f"Rule of the kind lifted.{_because(given)}"


def _keep(given: Given, by: str) -> Done:
    rule = moderation.keep_events(given["target"], by=by, reason=given["reason"])
    return rule, f"Retention rule added.{_because(given)}"


def _plain(service: Callable[..., object], done: str) -> Callable[[Given, str], Done]:
    """A service that takes a target and a reason alone."""

    def run(given: Given, by: str) -> Done:
        service(given["target"], by=by, reason=given["reason"])
        return str(given["target"]), f"{done}.{_because(given)}"

    return run


TASKS: Final[Mapping[str, Task]] = {
    "ban-key": Task(
        "Ban a public key",
        "Ban",
        BanKeyForm,
        "relay.add_bannedkey",
        "relay_bannedkey_changelist",
        _ban_key,
        "Its events and logins are refused. It may still ask to vanish (NIP-62).",
    ),
    "unban-key": Task(
        "Lift the ban of a public key",
        "Lift",
        LiftForm,
        "relay.delete_bannedkey",
        "relay_bannedkey_changelist",
        _plain(moderation.unban_key, "Ban lifted"),
        "Events that were removed do not come back by themselves.",
    ),
    "allow-key": Task(
        "Allow a public key",
        "Allow",
        KeyForm,
        "relay.add_allowedkey",
        "relay_allowedkey_changelist",
        _plain(moderation.allow_key, "Key allowed"),
        "It may publish where RELAY_RESTRICTED_WRITES is on.",
    ),
    "unallow-key": Task(
        "Remove a public key from the list",
        "Remove",
        LiftForm,
        "relay.delete_allowedkey",
        "relay_allowedkey_changelist",
        _plain(moderation.unallow_key, "Key no longer allowed"),
    ),
    "remove-event": Task(
        "Remove an event",
        "Remove",
        EventForm,
        "relay.add_removedevent",
        "relay_removedevent_changelist",
        _ban_event,
        "It is deleted, in all processes at once, and refused when it is published again.",
    ),
    "allow-event": Task(
        "Allow an event again",
        "Allow",
        LiftForm,
        "relay.delete_removedevent",
        "relay_removedevent_changelist",
        _plain(moderation.allow_event, "Event allowed again"),
        "It is accepted when it is published again.",
    ),
    "block-address": Task(
        "Block an address",
        "Block",
        NetworkForm,
        "relay.add_blockednetwork",
        "relay_blockednetwork_changelist",
        _block,
        "Its WebSockets are closed within a second, and new ones are refused. It can still reach the admin.",
    ),
    "unblock-address": Task(
        "Unblock an address",
        "Unblock",
        LiftForm,
        "relay.delete_blockednetwork",
        "relay_blockednetwork_changelist",
        _plain(moderation.unblock_network, "Address unblocked"),
    ),
    "set-kind": Task(
        "Allow or deny a kind", "Save", KindForm, "relay.add_kindrule", "relay_kindrule_changelist", _kind
    ),
    "forget-kind": Task(
        "Lift the rule of a kind",
        "Lift",
        LiftForm,
        "relay.delete_kindrule",
        "relay_kindrule_changelist",
        _forget_kind,
    ),
    "add-retention": Task(
        "Add a retention rule",
        "Add",
        RetentionForm,
        "relay.add_retentionrule",
        "relay_retentionrule_changelist",
        _keep,
        "Older events are hidden within a minute, then deleted for good. Replaceable and addressable events, deletions "
        "and requests to vanish are always kept.",
    ),
    "lift-retention": Task(
        "Lift a retention rule",
        "Lift",
        LiftForm,
        "relay.delete_retentionrule",
        "relay_retentionrule_changelist",
        _plain(moderation.forget_rule, "Retention rule lifted"),
        "Events that were removed do not come back by themselves.",
    ),
    "end-connection": Task(
        "End a connection",
        "End",
        LiftForm,
        "relay.delete_connection",
        "relay_connection_changelist",
        _plain(moderation.end_connection, "Connection ended"),
        "It is closed within a second. The client may connect again, unless you block its address.",
    ),
    "close-report": Task(
        "Close a report",
        "Close",
        LiftForm,
        "relay.change_report",
        "relay_report_changelist",
        _plain(moderation.close_report, "Report closed"),
        "It leaves the queue, until it is reported again.",
    ),
}
"""By the last part of their URL."""
