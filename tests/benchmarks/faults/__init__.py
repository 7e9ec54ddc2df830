"""The fault matrix: what the loss of each part of a cluster does to clients, with a ledger of what they were told.

cases     which part is taken away, how, and whether it comes back by itself
network   cuts, in a namespace of the benchmark's own
clients   publishers, subscribers and questioners, and their ledgers
trial     one fault under load
report    the table
"""
