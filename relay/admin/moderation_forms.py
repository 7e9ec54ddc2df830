"""The forms of the tasks of moderation: fields, labels, help texts."""

from django import forms
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from relay.services.moderation import LONGEST_REASON


def _line(label: str, help_text: str = "") -> forms.CharField:
    return forms.CharField(label=label, help_text=help_text, max_length=500, widget=UnfoldAdminTextInputWidget())


def _reason(*, required: bool = True) -> forms.CharField:
    return forms.CharField(
        label="Reason",
        help_text="Shown to operators only, never to clients.",
        max_length=LONGEST_REASON,
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
