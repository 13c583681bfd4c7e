# Makes survival.json from cohort.csv. Run: Rscript tests/reference/survival.R
suppressMessages({library(survival); library(cmprsk); library(jsonlite)})
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE)))
d <- read.csv(file.path(here, "cohort.csv"), stringsAsFactors = TRUE)
tight <- coxph.control(eps = 1e-12, iter.max = 50, toler.chol = 1e-14)

cox <- function(formula, data = d) {
  fit <- coxph(formula, data = data, ties = "efron", control = tight)
  list(coef = unname(coef(fit)), se = unname(sqrt(diag(vcov(fit)))), loglik = fit$loglik, n = fit$n, events = fit$nevent)
}
zph <- function(formula) {
  z <- cox.zph(coxph(formula, data = d, ties = "efron", control = tight), transform = "km")
  list(chisq = unname(z$table[, "chisq"]), df = unname(z$table[, "df"]), p = unname(z$table[, "p"]))
}
conc <- function(formulas, data) {
  fits <- lapply(formulas, function(f) coxph(f, data = data, ties = "efron", control = tight))
  both <- concordance(fits[[1]], fits[[2]])
  list(c = unname(both$concordance), var = unname(both$var))
}
plain <- Surv(exit, status == 1) ~ pad + age + sex + bmi + region
plain0 <- Surv(exit, status == 1) ~ age + sex + bmi + region
late <- Surv(entry, exit, status == 1) ~ pad + age + sex + bmi + region
late0 <- Surv(entry, exit, status == 1) ~ age + sex + bmi + region
complete <- d[!is.na(d$bmi), ]
times <- c(0.5, 1, 2.5, 5, 7.75, 11)

km <- function(formula) {
  s <- summary(survfit(formula, data = d, conf.type = "log-log"), times = times, extend = TRUE)
  list(times = times, surv = s$surv, se = s$std.err, lower = s$lower, upper = s$upper)
}
aj <- function(formula) {
  f <- survfit(formula, data = d, id = id, conf.type = "log-log")
  s <- summary(f, times = times, extend = TRUE)
  list(times = times, p = s$pstate[, 2:3], se = s$std.err[, 2:3], lower = s$lower[, 2:3], upper = s$upper[, 2:3])
}
d$state <- factor(d$status, 0:2, c("censored", "event", "death"))
median_of <- function(formula, data = d) unname(quantile(survfit(formula, data = data, conf.type = "log-log"), 0.5, conf.int = TRUE))
sd_test <- survdiff(Surv(exit, status == 1) ~ group, data = d)
ci <- cuminc(d$exit, d$status, d$group)
uni <- concordance(Surv(exit, status == 1) ~ spine_age, data = d, reverse = TRUE)

out <- list(
  versions = list(R = R.version.string, survival = as.character(packageVersion("survival")), cmprsk = as.character(packageVersion("cmprsk"))),
  cox = list(plain = cox(plain), plain_without = cox(plain0, complete), late = cox(late), late_without = cox(late0, complete),
             competing = cox(Surv(exit, status == 2) ~ pad + age), lr_plain = 2 * diff(c(cox(plain0, complete)$loglik[2], cox(plain)$loglik[2]))),
  zph = list(plain = zph(plain), late = zph(late)),
  concordance = list(plain = conc(list(plain, plain0), complete), late = conc(list(late, late0), complete),
                     single = list(c = unname(uni$concordance), var = unname(uni$var))),
  km = list(plain = km(Surv(exit, status == 1) ~ 1), late = km(Surv(entry, exit, status == 1) ~ 1)),
  median = list(any_event = median_of(Surv(exit, status > 0) ~ 1), reverse = median_of(Surv(exit, status == 0) ~ 1),
                flat = median_of(Surv(c(1, 2, 3, 4), c(1, 1, 1, 1)) ~ 1, data.frame(a = 1:4))),
  logrank = list(chisq = unname(sd_test$chisq), df = 2),
  aj = list(plain = aj(Surv(exit, state) ~ 1), late = aj(Surv(entry, exit, state) ~ 1)),
  gray = list(stat = unname(ci$Tests[, 1]), p = unname(ci$Tests[, 2]), df = unname(ci$Tests[, 3])),
  poisson = poisson.test(17, 523.25)$conf.int * 1000
)
write_json(out, file.path(here, "survival.json"), digits = I(17), auto_unbox = TRUE, na = "null", pretty = TRUE)
