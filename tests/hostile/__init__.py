"""Hostile clients beside ordinary ones: whatever the former do, the latter are answered and memory stays bounded."""
