"""Three whole regions on one machine, each in a network namespace, with the delays of continents between them."""
