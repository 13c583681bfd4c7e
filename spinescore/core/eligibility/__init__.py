"""Which images are ours: rules as data."""
