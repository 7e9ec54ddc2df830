"""How the cluster's commands report progress."""

from collections.abc import Callable

Say = Callable[[str], None]
"""Takes one line."""
