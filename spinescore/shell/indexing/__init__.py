"""From candidates to rows of the index, and the eligibility rules on disk."""
