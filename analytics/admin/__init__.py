"""Admin pages of the materialized views, caches, jobs, job runs and settings.

Rule: views are read-only; an operator's action is a POST, confirmed if it cannot be undone, and logged.
"""

from analytics.admin import caches, jobs, popular, rankings, runs, settings_page

__all__ = ["caches", "jobs", "popular", "rankings", "runs", "settings_page"]
