"""Admin pages of the materialized views, caches, jobs and job runs.

Rule: views are read-only; an operator's action is a POST, confirmed if it cannot be undone, and logged.
"""

from analytics.admin import caches, jobs, popular, rankings, runs

__all__ = ["caches", "jobs", "popular", "rankings", "runs"]
