"""What a relay does with more and more stored events, and with partitions."""
