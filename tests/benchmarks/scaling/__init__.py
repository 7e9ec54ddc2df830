"""A cost model of the relay: CPU and bytes of each kind of work, measured, checked, and carried on to other sizes."""
