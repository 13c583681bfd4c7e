"""Where we differ from R, or R's packages from each other, on purpose: what is done here and why."""

from __future__ import annotations

DIFFERENCES = (
    (
        "Fine and Gray's model at tied times",
        "cmprsk::crr and survival::finegray weigh subjects with a competing event differently where times "
        "are tied: their coefficients part in the fourth digit. crr's is taken here, without expanding rows.",
    ),
    (
        "Left truncation",
        "crr, riskRegression::Score and the n/G2 weights of survival::concordance refuse it or ignore it. "
        "Here the answer is null with the reason.",
    ),
    (
        "Absolute risks at tied times",
        "riskRegression::predict(CSC) offers a product limit as well. Here survival is exp(-H), which is "
        "what survfit(coxph) gives for one cause; a risk differs by less than 0.02 even at heavy ties.",
    ),
    (
        "Near-ties",
        "R's timefix takes times within about 1.5e-8 (relative) for one; here it is 1e-9 of the mean time.",
    ),
    (
        "Nelson-Aalen hazard in imputation",
        "mice::nelsonaalen is the baseline hazard of an empty Cox model, whose default at ties is Efron's "
        "sum. Nelson and Aalen's own d / n is taken here, as survfit(ctype = 1) has it.",
    ),
    (
        "Categories in imputation",
        "mice draws no parameters for more than two categories. Here they are drawn for any number, so "
        "intervals hold the truth as often as they say.",
    ),
    (
        "Firth's model at tied times",
        "coxphf has Breslow's ties. Here penalty and likelihood have Efron's, as every other Cox model has; "
        "Breslow's are compared above too.",
    ),
    (
        "Nested fitted models",
        "pROC and survival give a p for the difference of two AUCs or C of nested fitted models. It is not "
        "valid (Demler 2012), and none is given here; the test is the likelihood ratio.",
    ),
    (
        "What cannot be estimated",
        "R warns and prints a hazard ratio of 1e9 under separation. Here the number is null with the reason, "
        "as it is below 5 events or with no more events than parameters.",
    ),
)
