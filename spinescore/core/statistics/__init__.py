"""Estimators, one file per family: arrays in, numbers out; ``assembly`` makes rows of them."""
