"""Routing of clients to the nearest region. Rule: a decision needs no database; all it reads is in memory."""
