"""The first page of the admin: what happens now, and what happened in the last hour, day and month.

Rule: a page costs a few look-ups however much is stored, and shows what it can when the cache or a view is away.
"""
