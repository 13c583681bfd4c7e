# Makes time_dependent.json from cohort.csv. Run: Rscript tests/reference/time_dependent.R
suppressMessages({library(riskRegression); library(survival); library(prodlim); library(jsonlite)})
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE)))
d <- read.csv(file.path(here, "cohort.csv"), stringsAsFactors = TRUE)
d$first <- as.integer(d$status == 1)
risks <- list(A = plogis(d$pad / 4 + d$age / 20 - 4.5), B = plogis(d$age / 20 - 4))
times <- c(1, 2.5, 5)
score <- function(formula) {
  s <- Score(risks, formula = formula, data = d, times = times, metrics = c("auc", "brier"), summary = "ipa", null.model = TRUE, se.fit = TRUE, conf.int = TRUE, cens.model = "km", conservative = FALSE, contrasts = TRUE)
  frame <- function(x) lapply(as.list(as.data.frame(x)), function(v) if (is.factor(v)) as.character(v) else v)
  list(auc = frame(s$AUC$score), auc_contrasts = frame(s$AUC$contrasts), brier = frame(s$Brier$score), brier_contrasts = frame(s$Brier$contrasts))
}
uno <- function(...) {
  u <- concordance(Surv(exit, first) ~ spine_age, data = d, reverse = TRUE, timewt = "n/G2", ...)
  list(c = unname(u$concordance), var = unname(u$var))
}
cox <- function(f) coxph(f, data = d, ties = "efron", control = coxph.control(eps = 1e-12, iter.max = 50, toler.chol = 1e-14))
both <- concordance(cox(Surv(exit, first) ~ pad + age), cox(Surv(exit, first) ~ age), timewt = "n/G2", ymax = 5)
out <- list(
  versions = list(R = R.version.string, riskRegression = as.character(packageVersion("riskRegression")), survival = as.character(packageVersion("survival"))),
  times = times, competing = score(Hist(exit, status) ~ 1), alone = score(Surv(exit, first) ~ 1),
  uno = list(all = uno(), until_5 = uno(ymax = 5), pair = list(c = unname(both$concordance), var = unname(both$var)))
)
write_json(out, file.path(here, "time_dependent.json"), digits = I(17), auto_unbox = TRUE, na = "null", pretty = TRUE)
