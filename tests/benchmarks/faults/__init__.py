"""The fault matrix: what the loss of each part of a cluster does to clients, with a ledger of what they were told.

cases     which part is taken away, how, and whether it comes back by itself
network   cuts between machines, each a control group
packets   the program that drops packets
clients   publishers, subscribers and questioners, and their ledgers
trial     one fault under load
rounds    the order of the trials, and their end
results   what came of each, and the file that keeps it
report    the table
"""
