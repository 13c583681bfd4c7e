"""The report: results put into words, tables and figures, as values."""
