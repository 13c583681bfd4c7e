"""What may be shared: no rows of single people, rounded counts, and the proof that the rounding holds."""
