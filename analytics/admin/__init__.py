"""Admin pages of the materialized views, caches, slow queries, tables and indexes, jobs, job runs and settings.

Rule: views are read-only; an operator's action is a POST, confirmed if it cannot be undone, and logged.
"""

from analytics.admin import caches, database, jobs, popular, rankings, runs, settings_page
from analytics.arrival import arrived
from relay.admin.events import arrival_of

__all__ = ["caches", "database", "jobs", "popular", "rankings", "runs", "settings_page"]

arrival_of.append(arrived)
