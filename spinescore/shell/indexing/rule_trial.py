"""Rules tried on what is indexed: what would be decided otherwise; nothing is written."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from spinescore.core.eligibility.rule_set import FIELDS, RuleSet
from spinescore.shell.warehouse import Warehouse

BROKEN = "eligible: unread"  # of which kind the broken image was is not kept
NO_CHANGE = (pl.col("before") == pl.col("after")) | (
    (pl.col("before") == BROKEN) & pl.col("after").str.starts_with("eligible")
)


@dataclass(frozen=True, slots=True)
class RuleTrial:
    """What a set of rules would change.

    Parameters
    ----------
    n_files : int
        Files that rules decided on.
    n_changed : int
        Files on which these rules decide otherwise.
    n_unknown : int
        Images of an older database, of which no header texts are kept.
    changes : polars.DataFrame
        ``before, after, rule, files, example``, most files first.
    files : polars.DataFrame
        ``path, before, after, rule``: one row per file that would change.
    """

    n_files: int
    n_changed: int
    n_unknown: int
    changes: pl.DataFrame
    files: pl.DataFrame


def try_rules(warehouse: Warehouse, rules: RuleSet) -> RuleTrial:
    """Decide over every distinct header in the database and compare with what was decided."""
    inputs = warehouse.table("rule_inputs")
    decided = []
    for row in inputs.iter_rows(named=True):
        decision = rules.decide({name: row[name] for name in FIELDS})
        outcome = f"eligible: {decision.kind}" if decision.kind else f"excluded: {decision.reason}"
        decided.append((row["input_id"], outcome, decision.rule))
    columns = {"input_id": pl.Int64, "after": pl.String, "rule": pl.String}
    after = pl.DataFrame(decided, columns, orient="row")
    before = warehouse.fetch("ingest/decided_files").rename({"decided_before": "before"})
    known = before.drop_nulls("input_id")
    both = known.join(after, on="input_id", how="inner")
    files = both.filter(~NO_CHANGE).select("path", "before", "after", "rule")
    changes = (
        files.group_by("before", "after", "rule")
        .agg(pl.len().alias("files"), pl.col("path").min().alias("example"))
        .sort(["files", "before", "after"], descending=[True, False, False])
    )
    return RuleTrial(known.height, files.height, before.height - known.height, changes, files)
