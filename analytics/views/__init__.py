"""HTTP views of the analytics."""
