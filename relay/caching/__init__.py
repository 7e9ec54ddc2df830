"""Copies of answers, each with a position: the layers in front of PostgreSQL that never change an answer."""
