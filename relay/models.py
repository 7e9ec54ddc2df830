"""Read-only models over the tables that the database owns (storage/sql/schema.sql).

Nothing is written through them: every write goes through the one writing transaction, which numbers its changes.
"""

import hashlib
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

MAX_KEY_VALUE_BYTES = 200
"""A longer tag value is indexed by its SHA-256: a B-tree entry holds 2,704 bytes, and short entries keep the index
small."""

_HEX = frozenset("0123456789abcdef")


def packed_value(value: str) -> bytes:
    """A tag's value in an index key: one byte for the form, then the value (storage/sql/schema.sql)."""
    if len(value) == 64 and _HEX.issuperset(value):
        return b"\x01" + bytes.fromhex(value)
    raw = value.encode()
    return b"\x00" + raw if len(raw) <= MAX_KEY_VALUE_BYTES else b"\x02" + hashlib.sha256(raw).digest()


def tag_key(letter_and_value: str) -> bytes:
    """The index key of a tag, from its letter and value joined, as in `StoredEvent.tag_keys`."""
    return letter_and_value[0].encode() + packed_value(letter_and_value[1:])


if TYPE_CHECKING:
    _StrField = models.Field[str, str]
else:
    _StrField = models.Field  # generic only in the stubs


class HexField(_StrField):
    """Bytes in the database, lower-case hex in Python. Text that is not hex matches nothing and is no error."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        """The type of the column."""
        return "bytea"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> str | None:
        """The bytes of the column as hex."""
        return None if value is None else bytes(value).hex()

    def to_python(self, value: Any) -> Any:
        """The text unchanged."""
        return value

    def get_prep_value(self, value: Any) -> bytes | None:
        """The bytes of a hex text; no bytes for any other text."""
        if value is None:
            return None
        try:
            return bytes.fromhex(str(value))
        except ValueError:
            return b""


class TagKeyField(_StrField):
    """The key of a tag in the database, `letter:value` in Python."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        """The type of the column."""
        return "bytea"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> str | None:
        """The index key as `letter:value`, or `letter:sha256:<hex>` for a hashed value."""
        if value is None:
            return None
        raw = bytes(value)
        text = raw[2:].decode("utf-8", "replace") if raw[1] == 0 else raw[2:].hex()
        return f"{raw[:1].decode()}:{'sha256:' if raw[1] == 2 else ''}{text}"

    def to_python(self, value: Any) -> Any:
        """The text unchanged."""
        return value

    def get_prep_value(self, value: Any) -> bytes | None:
        """The index key of a text `letter:value`."""
        if value is None:
            return None
        letter, _, rest = str(value).partition(":")
        return tag_key(letter[:1] + rest) if letter else b""


class ReadOnlyModel(models.Model):
    """A model that cannot be saved or deleted."""

    from_replicas: ClassVar[bool] = True
    """Whether `relay.routers` may read it from a replica."""

    instead_of_save: ClassVar[str] = "publish an event instead"
    instead_of_delete: ClassVar[str] = "publish a deletion instead"

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises TypeError that says what to do instead."""
        raise TypeError(f"{type(self).__name__} is read-only: {self.instead_of_save}")

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises TypeError that says what to do instead."""
        raise TypeError(f"{type(self).__name__} is read-only: {self.instead_of_delete}")


class Event(ReadOnlyModel):
    """A stored event; `json` is the text that is sent."""

    id = HexField(primary_key=True)
    pubkey = HexField()
    created_at = models.BigIntegerField()
    kind = models.IntegerField()
    expires_at = models.BigIntegerField(null=True)
    json = models.TextField()

    class Meta:
        managed = False
        db_table = "relay_event"
        ordering: ClassVar[list[str]] = ["-created_at", "id"]

    def __str__(self) -> str:
        return self.id


class Tag(ReadOnlyModel):
    """A single-letter tag of an event. The table has no key of its own: Django takes `event`, which is not unique."""

    key = TagKeyField()
    created_at = models.BigIntegerField()
    event = HexField(primary_key=True, db_column="event_id")
    kind = models.IntegerField()

    class Meta:
        managed = False
        db_table = "relay_tag"
        ordering: ClassVar[list[str]] = ["key", "-created_at", "event"]

    def __str__(self) -> str:
        return str(self.key)


class Change(ReadOnlyModel):
    """One entry of the log of changes."""

    seq = models.BigIntegerField(primary_key=True)
    op = models.CharField(max_length=1)
    event_id = HexField()
    created_at = models.BigIntegerField()
    origin = models.IntegerField(default=0)

    class Meta:
        managed = False
        db_table = "relay_change"
        ordering: ClassVar[list[str]] = ["-seq"]

    def __str__(self) -> str:
        return f"{self.seq} {self.op} {self.event_id}"


class VanishRequest(ReadOnlyModel):
    """The newest request to vanish of a key (NIP-62). `until` in Unix seconds; `removed` counts events so far;
    `finished_at` is empty while some are left.
    """

    pubkey = HexField(primary_key=True)
    until = models.BigIntegerField()
    event_id = HexField()
    requested_at = models.DateTimeField()
    removed = models.BigIntegerField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        managed = False
        db_table = "relay_vanish"
        ordering: ClassVar[list[str]] = ["-requested_at"]

    def __str__(self) -> str:
        return self.pubkey


class ListEntry(ReadOnlyModel):
    """An entry of the operators' lists (`relay.policies.lists`). `until` in Unix seconds, 0 without an end; one
    that was lifted is `removed`. A change gives it another `version`.
    """

    from_replicas: ClassVar[bool] = False  # pages read back what they have changed
    instead_of_save: ClassVar[str] = "use relay.services.moderation"
    instead_of_delete: ClassVar[str] = "use relay.services.moderation"

    version = models.BigIntegerField(primary_key=True)
    list = models.TextField()
    key = models.TextField()
    reason = models.TextField()
    until = models.BigIntegerField()
    changed_by = models.TextField()
    changed_at = models.DateTimeField()
    removed = models.BooleanField()

    class Meta:
        managed = False
        db_table = "relay_list_entry"
        ordering: ClassVar[list[str]] = ["-version"]

    def __str__(self) -> str:
        return f"{self.list} {self.key}"


class BannedKey(ListEntry):
    """Keys that may not publish or log in."""

    class Meta:
        proxy = True
        default_permissions = ("view", "add", "delete")


class AllowedKey(ListEntry):
    """Keys that may publish where writes are restricted."""

    class Meta:
        proxy = True
        default_permissions = ("view", "add", "delete")


class RemovedEvent(ListEntry):
    """Events that operators have removed; they are refused when they come again."""

    class Meta:
        proxy = True
        default_permissions = ("view", "add", "delete")


class BlockedNetwork(ListEntry):
    """Addresses and networks whose connections are refused."""

    class Meta:
        proxy = True
        default_permissions = ("view", "add", "delete")


class KindRule(ListEntry):
    """Kinds that are allowed or denied."""

    class Meta:
        proxy = True
        default_permissions = ("view", "add", "delete")


class RetentionRule(ListEntry):
    """Rules that say how long events are kept (`relay.protocol.retention`)."""

    class Meta:
        proxy = True
        default_permissions = ("view", "add", "delete")


class Report(Event):
    """Reports (kind 1984), for the permissions of their queue: to change is to close one."""

    class Meta:
        proxy = True
        default_permissions = ("view", "change")


class Connection(models.Model):
    """Without a table: the page of connections reads them from the workers. To delete is to end one."""

    name = models.CharField(max_length=200, primary_key=True)

    class Meta:
        managed = False
        default_permissions = ("view", "delete")

    def __str__(self) -> str:
        return self.name
