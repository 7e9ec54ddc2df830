"""The exception that ends a command with one sentence on standard error and exit code 1."""


class StartupError(Exception):
    """Why a start fails: one sentence that says what is wrong and what to do."""
