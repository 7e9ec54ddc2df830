"""Copies of answers, each with its position: the layers in front of PostgreSQL. A copy never changes an answer."""
