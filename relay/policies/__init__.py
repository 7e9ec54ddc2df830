"""Who may publish what.

A policy is a plain function `(context, event) -> RelayError | None`, composed in one visible list.
"""
