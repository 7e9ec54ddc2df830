"""Ready-made groups of operators: Viewer, Moderator, Administrator.

They are made after each migration. Permissions that are listed here and missing in a group are granted again, further
ones stay: an operator who wants fewer makes a group of another name.
"""

from collections.abc import Iterable
from typing import Any, Final

from django.contrib.auth.models import Group, Permission
from django.db.models import Q

VIEWER: Final = (
    "analytics.view_minute",  # the dashboard
    "relay.view_event",
    "relay.view_tag",
    "relay.view_change",
    "analytics.view_popularevent",
    "analytics.view_trendinghashtag",
    "analytics.view_activeauthor",
    "analytics.view_reportedtarget",
    "analytics.view_storegrowth",
    "analytics.view_cache",
    "analytics.view_slowquery",
    "analytics.view_storetable",
    "analytics.view_jobrun",
    "django_celery_beat.view_periodictask",
    "replication.view_peerlane",
    "replication.view_repair",
)

MODERATION: Final[tuple[str, ...]] = (
    "admin.view_logentry",
    "relay.view_report",
    "relay.change_report",
    "relay.view_connection",
    "relay.delete_connection",
    *(
        f"relay.{action}_{model}"
        for model in ("bannedkey", "removedevent", "blockednetwork")
        for action in ("view", "add", "delete")
    ),
)

ADMINISTRATION: Final = (
    "analytics.view_setting",
    *(f"replication.{action}_region" for action in ("view", "add", "change", "delete")),
    "replication.view_deadletter",
    "replication.delete_deadletter",
    *(
        f"relay.{action}_{model}"
        for model in ("kindrule", "retentionrule", "allowedkey")
        for action in ("view", "add", "delete")
    ),
    "analytics.delete_cache",
    "django_celery_beat.change_periodictask",
    *(
        f"django_celery_beat.{action}_{model}"
        for model in ("intervalschedule", "crontabschedule")
        for action in ("view", "add", "change")
    ),
    *(f"auth.{action}_{model}" for model in ("user", "group") for action in ("view", "add", "change", "delete")),
    "axes.view_accesslog",
    "axes.view_accessattempt",
    "axes.delete_accessattempt",
)

GROUPS: Final = {
    "Viewer": VIEWER,
    "Moderator": (*VIEWER, *MODERATION),
    "Administrator": (*VIEWER, *MODERATION, *ADMINISTRATION),
}
"""Name -> permissions, each as `app.codename`."""


def install(**_signal: Any) -> None:
    """Make the groups and grant what they miss; a receiver of post_migrate."""
    for name, codes in GROUPS.items():
        group, _ = Group.objects.get_or_create(name=name)
        group.permissions.add(*permissions(codes))


def permissions(codes: Iterable[str]) -> list[Permission]:
    """The permissions of these codes; one that does not exist is left out."""
    wanted = Q(pk__in=[])
    for code in codes:
        app, codename = code.split(".", 1)
        wanted |= Q(content_type__app_label=app, codename=codename)
    return list(Permission.objects.filter(wanted))
