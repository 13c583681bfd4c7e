"""What `doctor` finds of an installation, and how it judges it."""
