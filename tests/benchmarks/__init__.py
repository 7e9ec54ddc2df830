"""Benchmarks: each figure stands against a yardstick of the same run, because a shared machine has no seconds to trust.

Opt-in: `python -m tests.benchmarks`. No test asserts a speed.
"""
