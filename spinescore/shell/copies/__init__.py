"""De-identified copies of the indexed images."""
