"""From cohorts to rows of ``results`` and ``curves`` (docs/results.md): one file per part of the report."""
