# Makes cox_variants.json from cohort.csv. Run: Rscript tests/reference/cox_variants.R
suppressMessages({library(survival); library(jsonlite)})
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE)))
d <- read.csv(file.path(here, "cohort.csv"), stringsAsFactors = TRUE)
d <- d[!is.na(d$bmi), ]
d$site <- d$id %% 17
tight <- coxph.control(eps = 1e-12, iter.max = 50, toler.chol = 1e-14)
one <- function(formula) {
  fit <- coxph(formula, data = d, ties = "efron", control = tight)
  out <- list(coef = unname(coef(fit)), se = unname(sqrt(diag(vcov(fit)))), loglik = fit$loglik)
  if (!is.null(fit$naive.var)) out$naive_se <- unname(sqrt(diag(fit$naive.var)))
  z <- cox.zph(fit, transform = "km")
  out$zph <- unname(z$table[, "chisq"])
  out$c <- unname(concordance(fit)$concordance)
  out
}
out <- list(
  versions = list(R = R.version.string, survival = as.character(packageVersion("survival"))),
  robust = one(Surv(exit, status == 1) ~ pad + age + sex + cluster(id)),
  robust_late = one(Surv(entry, exit, status == 1) ~ pad + age + sex + cluster(id)),
  cluster = one(Surv(exit, status == 1) ~ pad + age + sex + cluster(site)),
  cluster_late = one(Surv(entry, exit, status == 1) ~ pad + age + sex + cluster(site)),
  strata = one(Surv(exit, status == 1) ~ pad + age + strata(sex, region)),
  strata_late = one(Surv(entry, exit, status == 1) ~ pad + age + strata(region)),
  strata_cluster = one(Surv(exit, status == 1) ~ pad + age + strata(region) + cluster(site))
)
write_json(out, file.path(here, "cox_variants.json"), digits = I(17), auto_unbox = TRUE, na = "null", pretty = TRUE)
