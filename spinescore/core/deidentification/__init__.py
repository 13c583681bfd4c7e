"""A data set without its owner, by the basic profile of PS3.15."""
