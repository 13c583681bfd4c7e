"""The spine age network, its loss, and what its output means."""
