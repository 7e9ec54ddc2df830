"""The operators' lists: banned and allowed keys, removed events, blocked addresses, rules of kinds and of retention."""

from typing import Any, TypeVar

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from relay.admin.formatting import author_link, format_time, isolated, kind_name, short
from relay.admin.moderate import may, moderate, task_link
from relay.admin.readonly import ReadOnlyAdmin
from relay.models import AllowedKey, BannedKey, BlockedNetwork, KindRule, ListEntry, RemovedEvent, RetentionRule
from relay.policies.lists import FOR_EVER, ListName
from relay.services.moderation import CannotModerate, event_id, public_key

Listed = TypeVar("Listed", bound=ListEntry)


class ListAdmin(ReadOnlyAdmin[Listed]):
    """Entries, newest first. They are added and lifted by tasks (`relay.admin.moderation_tasks`)."""

    lists: tuple[ListName, ...]
    add_task: str
    lift_task: str
    lift_label = "Lift"
    list_display: tuple[str, ...] = ("subject", "why", "ends", "by", "since", "lift")
    list_display_links = None
    search_fields = ("key",)
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Listed, Listed]":
        """Django: what is on the lists now."""
        return super().get_queryset(request).filter(list__in=self.lists, removed=False)

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """An entry by its key, in any form."""
        term = search_term.strip()
        return (queryset.filter(Q(key=self.key_of(term)) | Q(key=term)) if term else queryset), False

    def key_of(self, term: str) -> str:
        """The key of an entry that an operator searches for."""
        return term

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Django: by the permission to add."""
        return bool(request.user.has_perm(f"relay.add_{self.opts.model_name}"))

    def add_view(self, request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
        """Django: the page of the task."""
        return HttpResponseRedirect(reverse("admin:relay_bannedkey_do", args=[self.add_task]))

    @admin.display(description="entry")
    def subject(self, row: ListEntry) -> SafeString:
        return isolated(row.key, 100)

    @admin.display(description="reason")
    def why(self, row: ListEntry) -> SafeString:
        return isolated(row.reason, 300)

    @admin.display(description="until (UTC)")
    def ends(self, row: ListEntry) -> str:
        return "for ever" if row.until == FOR_EVER else format_time(row.until)

    @admin.display(description="by")
    def by(self, row: ListEntry) -> SafeString:
        return isolated(row.changed_by, 60)

    @admin.display(description="since (UTC)")
    def since(self, row: ListEntry) -> str:
        return f"{row.changed_at:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="")
    def lift(self, row: ListEntry) -> SafeString:
        back = reverse(f"admin:relay_{self.opts.model_name}_changelist")
        return task_link(self.lift_task, self.lift_label, row.key, back)

    def get_list_display(self, request: HttpRequest) -> Any:
        """Django: without the button for operators who may not lift."""
        shown = super().get_list_display(request)
        return [name for name in shown if name != "lift" or may(request, self.lift_task)]


class KeyListAdmin(ListAdmin[Listed]):
    """A list of public keys."""

    search_help_text = "Public key in hex, npub or nprofile"

    def key_of(self, term: str) -> str:
        """The key in hex."""
        try:
            return public_key(term)
        except CannotModerate:
            return term

    @admin.display(description="public key")
    def subject(self, row: ListEntry) -> SafeString:
        return author_link(row.key)


@admin.register(BannedKey)
class BannedKeyAdmin(KeyListAdmin[BannedKey]):
    """Banned keys. It has the pages of all tasks, too."""

    lists = (ListName.BANNED_KEY,)
    add_task, lift_task = "ban-key", "unban-key"
    empty_help = "Public keys that may not publish here."

    def get_urls(self) -> list[URLPattern]:
        """Django: with the pages of the tasks."""
        view = self.admin_site.admin_view(self.task)
        return [path("do/<slug:task>/", view, name="relay_bannedkey_do"), *super().get_urls()]

    def task(self, request: HttpRequest, task: str) -> HttpResponse:
        """The page of a task."""
        return moderate(request, task)


@admin.register(AllowedKey)
class AllowedKeyAdmin(KeyListAdmin[AllowedKey]):
    """Keys that publish with restricted writes."""

    lists = (ListName.ALLOWED_KEY,)
    add_task, lift_task, lift_label = "allow-key", "unallow-key", "Remove"
    empty_help = "Public keys that may publish here. It matters with RELAY_RESTRICTED_WRITES alone."


@admin.register(RemovedEvent)
class RemovedEventAdmin(ListAdmin[RemovedEvent]):
    """Events that were removed and stay away."""

    lists = (ListName.BANNED_EVENT,)
    add_task, lift_task, lift_label = "remove-event", "allow-event", "Allow"
    list_display = ("subject", "why", "by", "since", "lift")
    search_help_text = "Event id in hex, note or nevent"
    empty_help = "Events that operators have removed. They are refused when they come again."

    def key_of(self, term: str) -> str:
        """The id in hex."""
        try:
            return event_id(term)
        except CannotModerate:
            return term

    @admin.display(description="event")
    def subject(self, row: ListEntry) -> SafeString:
        return format_html('<span class="relay-hex" title="{}">{}</span>', row.key, short(row.key))


@admin.register(BlockedNetwork)
class BlockedNetworkAdmin(ListAdmin[BlockedNetwork]):
    """Addresses and networks whose connections are refused."""

    lists = (ListName.BLOCKED_NETWORK,)
    add_task, lift_task, lift_label = "block-address", "unblock-address", "Unblock"
    search_help_text = "Address or network as it is listed"
    empty_help = "Addresses and networks whose WebSockets are refused."


@admin.register(KindRule)
class KindRuleAdmin(ListAdmin[KindRule]):
    """Kinds that are allowed or denied."""

    lists = (ListName.ALLOWED_KIND, ListName.DENIED_KIND)
    add_task, lift_task = "set-kind", "forget-kind"
    list_display = ("subject", "rule", "why", "by", "since", "lift")
    search_help_text = "Kind"
    empty_help = "Kinds that are refused here. Allowed ones matter with RELAY_RESTRICTED_KINDS alone."

    @admin.display(description="kind")
    def subject(self, row: ListEntry) -> SafeString:
        return isolated(kind_name(int(row.key)), 60)

    @admin.display(description="rule")
    def rule(self, row: ListEntry) -> str:
        return "denied" if row.list == ListName.DENIED_KIND else "allowed"


@admin.register(RetentionRule)
class RetentionRuleAdmin(ListAdmin[RetentionRule]):
    """How long events are kept."""

    lists = (ListName.RETENTION,)
    add_task, lift_task = "add-retention", "lift-retention"
    list_display = ("subject", "why", "by", "since", "lift")
    search_help_text = "Rule as it is listed"
    empty_help = "How long events are kept, by kind and author. The rules of RELAY_RETENTION hold as well."

    @admin.display(description="rule")
    def subject(self, row: ListEntry) -> SafeString:
        return isolated(row.key, 300)
