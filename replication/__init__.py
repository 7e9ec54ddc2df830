"""What connects several instances and regions: the configuration of the balancer in front of the instances."""
