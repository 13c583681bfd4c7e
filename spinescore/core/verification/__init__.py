"""Parity with R as data: every statistic that was compared, its convention, the call, both numbers."""
