"""How far a copy must have come before it may answer: everything that was acknowledged before the question."""
