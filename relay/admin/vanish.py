"""The requests to vanish that were carried out, and how far the removal of the events is."""

from django.contrib import admin
from django.utils.safestring import SafeString

from relay.admin.formatting import author_link, format_time
from relay.admin.readonly import StoreAdmin
from relay.models import VanishRequest


@admin.register(VanishRequest)
class VanishRequestAdmin(StoreAdmin[VanishRequest]):
    """The newest request of each key. What it covers is hidden from its first second on."""

    list_display = ("author", "up_to", "requested", "removed_so_far", "is_done")
    list_display_links = None
    search_fields = ("pubkey",)
    empty_help = "Requests to vanish (NIP-62) that name this relay are listed here, with the progress of the removal."
    search_help_text = "Public key in hex"
    sortable_by = ()

    @admin.display(description="author")
    def author(self, row: VanishRequest) -> SafeString:
        return author_link(row.pubkey)

    @admin.display(description="events up to (UTC)")
    def up_to(self, row: VanishRequest) -> str:
        return format_time(row.until)

    @admin.display(description="requested (UTC)")
    def requested(self, row: VanishRequest) -> str:
        return f"{row.requested_at:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="events removed")
    def removed_so_far(self, row: VanishRequest) -> str:
        return f"{row.removed:,}"

    @admin.display(description="done", boolean=True)
    def is_done(self, row: VanishRequest) -> bool:
        return row.finished_at is not None
