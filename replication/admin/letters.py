"""Events that peers have refused; they can be sent again."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from kombu.exceptions import OperationalError

from relay.admin.formatting import isolated, kind_name, short
from relay.admin.readonly import RecordAdmin
from replication.models import DeadLetter
from replication.tasks import send_letters_again


@admin.register(DeadLetter)
class DeadLetterAdmin(RecordAdmin[DeadLetter]):
    """Newest first. Deleting one forgets that it was refused; the event stays where it is."""

    list_display = ("event", "peer", "kind_named", "reason_shown", "tries", "last")
    list_display_links = None
    list_select_related = ("peer",)
    list_filter = ("peer", "reason_class")
    search_fields = ("event_id",)
    search_help_text = "Event id in hex"
    sortable_by = ()
    actions = ("send_again",)
    empty_help = "Events that a peer has refused are listed here with its reason, the newest thousand of each kind."

    def has_send_permission(self, request: HttpRequest) -> bool:
        """Django: operators who may delete a letter, for a good outcome deletes it."""
        return self.has_delete_permission(request)

    @admin.action(description="Send again", permissions=["send"])
    def send_again(self, request: HttpRequest, queryset: "QuerySet[DeadLetter, DeadLetter]") -> None:
        """Django: have a job send the chosen ones."""
        chosen = list(queryset.values_list("pk", flat=True))
        try:
            send_letters_again(chosen)
        except OperationalError:
            self.message_user(request, "The job queue does not answer; nothing was sent.", messages.ERROR)
        else:
            self.message_user(request, f"{len(chosen)} events are sent again; those that are taken leave this list.")

    @admin.display(description="event")
    def event(self, letter: DeadLetter) -> SafeString:
        link = reverse("admin:relay_event_change", args=[letter.event_id])
        return format_html('<a class="relay-hex" href="{}">{}</a>', link, short(letter.event_id))

    @admin.display(description="kind")
    def kind_named(self, letter: DeadLetter) -> str:
        return kind_name(letter.kind)

    @admin.display(description="reason")
    def reason_shown(self, letter: DeadLetter) -> SafeString:
        return isolated(letter.reason, 300)

    @admin.display(description="last try (UTC)")
    def last(self, letter: DeadLetter) -> str:
        return f"{letter.last_at:%Y-%m-%d %H:%M:%S}"
