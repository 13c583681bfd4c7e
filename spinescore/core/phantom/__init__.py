"""The phantom cohort: from a seed to people, spines, images and follow-up with known truth."""
