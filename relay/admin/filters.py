"""The filters of the list of events: kind and time range."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.contrib import messages
from django.contrib.admin import ListFilter
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest

from relay.admin.matching import between
from relay.admin.search import BadSearch, kind_number, moment
from relay.storage.admin_queries import Events


class InputFilter(ListFilter):
    """A filter made of input fields. `inputs`: query parameter -> (HTML input type, label)."""

    template = "admin/relay/filter_inputs.html"
    inputs: dict[str, tuple[str, str]]

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        for name in self.inputs:
            value = params.pop(name, "")
            text = str(value[-1] if isinstance(value, list) else value).strip()
            if text:
                self.used_parameters[name] = text

    def has_output(self) -> bool:
        """Django: always shown."""
        return True

    def expected_parameters(self) -> list[str | None]:
        """Django: the query parameters."""
        return list(self.inputs)

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Django: one dictionary for each input field of the template."""
        for name, (kind, label) in self.inputs.items():
            yield {"name": name, "type": kind, "label": label, "value": self.used_parameters.get(name, "")}

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Django: the filtered events; none and an error message for invalid input."""
        try:
            return self.filtered(queryset, {name: str(value) for name, value in self.used_parameters.items()})
        except BadSearch as error:
            messages.error(request, str(error))
            return queryset.none()

    def filtered(self, events: Events, entered: dict[str, str]) -> Events:
        """The `events` that match the input (parameter -> text). Raises BadSearch."""
        raise NotImplementedError


class KindFilter(InputFilter):
    """Events of one kind."""

    title = "kind"
    inputs = {"kind": ("number", "Kind, for example 1")}  # noqa: RUF012

    def filtered(self, events: Events, entered: dict[str, str]) -> Events:
        """As InputFilter."""
        return events.filter(kind=kind_number(entered["kind"])) if entered else events


class TimeFilter(InputFilter):
    """Events created in a time range, both ends included."""

    title = "time (UTC)"
    inputs = {"since": ("datetime-local", "From"), "until": ("datetime-local", "To")}  # noqa: RUF012

    def filtered(self, events: Events, entered: dict[str, str]) -> Events:
        """As InputFilter."""
        return between(events, *time_range(entered))


def time_range(entered: Mapping[str, str]) -> tuple[int | None, int | None]:
    """TimeFilter's inputs as (since, until) in Unix seconds, None for an empty one. Raises BadSearch."""
    since, until = entered.get("since"), entered.get("until")
    return moment(since) if since else None, moment(until, is_end=True) if until else None
