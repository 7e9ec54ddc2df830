"""The one exception that ends a command with a sentence for the operator and a non-zero exit."""


class Refusal(Exception):
    """Why a start is refused: one sentence that says what is wrong and what to do."""
