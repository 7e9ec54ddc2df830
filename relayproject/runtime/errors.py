"""The exception that ends a command with one sentence on standard error and exit code 1."""


class StartupError(Exception):
    """Why a start fails: one sentence that says what is wrong and what to do."""


def reason(error: Exception) -> str:
    """The last line of a driver's error message, which names the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__
