"""Runs a relay on a machine: embedded servers, supervisor, worker processes."""
