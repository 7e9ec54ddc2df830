"""Which database answers: everything goes to the primary; replicas are not supported by the ORM yet."""

from typing import Any

from django.db.models import Model

PRIMARY = "default"


class PrimaryReplicaRouter:
    """Reads and writes go to the primary; replicas are refused by a system check until they are supported."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        """The primary."""
        return PRIMARY

    def db_for_write(self, model: type[Model], **hints: Any) -> str:
        """The primary."""
        return PRIMARY

    def allow_relation(self, obj1: Model, obj2: Model, **hints: Any) -> bool:
        """Always."""
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        """Only on the primary."""
        return db == PRIMARY
