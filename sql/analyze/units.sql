-- One row per cohort and endpoint of a model's latest finished analysis.
select
    analysis_units.run_id,
    analysis_units.cohort,
    analysis_units.endpoint,
    analysis_units.fingerprint
from analysis_units
where
    analysis_units.run_id = (
        select max(runs.run_id)
        from runs
        where
            runs.command = 'analyze'
            and runs.outcome in ('done', 'partial')
            and runs.model_id = $model_id
    )
order by analysis_units.cohort, analysis_units.endpoint
