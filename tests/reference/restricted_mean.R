# Makes restricted_mean.json from cohort.csv. Run: Rscript tests/reference/restricted_mean.R
suppressMessages({library(survival); library(jsonlite)})
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE)))
d <- read.csv(file.path(here, "cohort.csv"), stringsAsFactors = TRUE)
d$state <- factor(d$status, 0:2, c("censored", "event", "death"))
alone <- function(formula, until) {
  found <- summary(survfit(formula, data = d), rmean = until)$table
  list(value = unname(found["rmean"]), se = unname(found["se(rmean)"]))
}
# the standard error of a state's mean time: root of the sum of squares of its infinitesimal jackknife residuals
states <- function(formula, until) {
  fit <- eval(bquote(survfit(.(formula), data = d, id = id)), globalenv())
  r <- residuals(fit, times = until, type = "sojourn")
  list(value = unname(summary(fit, rmean = until)$table[2:3, "rmean"]), se = unname(sqrt(colSums(r^2)))[2:3])
}
each <- function(f, formula) lapply(c(5, 2.25), function(until) f(formula, until))
out <- list(
  versions = list(R = R.version.string, survival = as.character(packageVersion("survival"))), until = c(5, 2.25),
  alone = each(alone, Surv(exit, status == 1) ~ 1), alone_late = each(alone, Surv(entry, exit, status == 1) ~ 1),
  states = each(states, Surv(exit, state) ~ 1), states_late = each(states, Surv(entry, exit, state) ~ 1)
)
write_json(out, file.path(here, "restricted_mean.json"), digits = I(17), auto_unbox = TRUE, na = "null", pretty = TRUE)
