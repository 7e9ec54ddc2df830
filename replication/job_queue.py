"""The queue of the jobs that follow the log. A module of its own: the process that serves it starts before Django."""

QUEUE = "replication"
