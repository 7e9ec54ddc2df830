"""Import and export of events as JSON Lines: one event object a line, as strfry and other relays write them.

An import goes through `relay.ingest`, as every event does; an export is the store at one position of its log.
"""
