"""Time partitions of the events: which should exist, and how the store comes to have them."""
