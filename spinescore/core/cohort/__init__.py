"""From scored images to an analysis set: linkage, index image, time origin, follow-up, attrition.

Conventions are those of docs/cohorts.md; every row that leaves is counted with its reason.
"""
