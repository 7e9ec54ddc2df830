"""The operators' pages of regions: Django finds the models' admins by importing this package."""

from replication.admin import lanes, letters, regions, repairs  # noqa: F401
