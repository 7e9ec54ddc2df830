"""Which database answers: reads may go to replicas once there are some, everything else to the primary."""

from typing import Any

from django.db.models import Model

PRIMARY = "default"


class PrimaryReplicaRouter:
    """Reads and writes go to the primary; replicas are refused by a system check until they are supported."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        return PRIMARY

    def db_for_write(self, model: type[Model], **hints: Any) -> str:
        return PRIMARY

    def allow_relation(self, obj1: Model, obj2: Model, **hints: Any) -> bool:
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == PRIMARY
