"""How dates and times are written: as they sort, in UTC, wherever the operator sits."""
