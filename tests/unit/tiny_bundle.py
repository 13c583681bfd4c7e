"""The smallest description of a bundle, for tests that need one."""

from spinescore.shell.bundles import BundleDescription

TINY = BundleDescription(
    name="tiny",
    version="1",
    intended_use="tests",
    licence="MIT",
    backbone="efficientnet-b0",
    first_age=40,
    n_classes=61,
    age_range=(40.0, 90.0),
    training_data="none",
    synthetic=True,
    training_seeds=(7,),
    metrics={"test": {"all": {"mae_years": 3.0}}},
)
