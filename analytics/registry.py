"""The materialized views: SQL files, unique indexes and refresh intervals."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class View:
    """A materialized view, created by `sql/<name>.sql` with `unique_index`, which REFRESH ... CONCURRENTLY needs.

    `cadence_seconds`: the schedule's default; operators change it in the admin.
    """

    name: str
    title: str
    cadence_seconds: int
    timeout_seconds: int = 60

    @property
    def unique_index(self) -> str:
        """The index's name."""
        return f"{self.name}_one"

    @property
    def job(self) -> str:
        """The name of its job in the schedule and the log of runs."""
        return f"refresh-{self.name}"


VIEWS: Final = (
    View("popular_events", "Popular events", 300),
    View("trending_hashtags", "Trending hashtags", 300),
    View("active_authors", "Most active authors", 900),
    View("events_by_kind_and_hour", "Events by kind and hour", 300),
    View("store_growth", "Growth of the store", 300),
    View("reported_targets", "Reports by target", 300),
)


def view_named(name: str) -> View:
    """The view of that name. Raises KeyError."""
    return {view.name: view for view in VIEWS}[name]
