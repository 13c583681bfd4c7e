"""A first study file for a follow-up table: columns looked at, every guess marked."""
