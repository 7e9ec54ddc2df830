"""HTTP answers of the analytics: one module for each."""
