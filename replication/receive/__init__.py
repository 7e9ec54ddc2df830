"""What comes from peers: which requests are taken, and what becomes of their events."""
