"""The operators' lists: popular events and the other views, caches, jobs and their runs.

Rule: views are read-only here; whatever an operator sets off is a POST, confirmed where it cannot be undone, and noted
in the log of actions.
"""

from analytics.admin import caches, jobs, popular, runs, views

__all__ = ["caches", "jobs", "popular", "runs", "views"]
