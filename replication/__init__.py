"""What connects instances and regions: configurations of balancers, push and anti-entropy, geo routing."""
