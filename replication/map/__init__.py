"""The operators' map of the regions: where they are, how they are, and how far behind what is sent to them is."""
