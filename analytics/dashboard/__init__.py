"""The dashboard, the admin's index page: live figures, and charts of the last hour, day and month.

Rule: a few index look-ups however many events are stored; missing servers and views leave gaps, not errors.
"""
