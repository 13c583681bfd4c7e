# Makes imputation.json from cohort.csv. Run: Rscript tests/reference/imputation.R
suppressMessages({library(survival); library(mice); library(mitml); library(jsonlite)})
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE)))
d <- read.csv(file.path(here, "cohort.csv"), stringsAsFactors = TRUE)
# missing at random: who lacks region depends on pad, who lacks sex on age
d$region[(d$id %% 5 == 1 & d$pad > 0) | d$id %% 11 == 3] <- NA
d$sex[d$id %% 7 == 2 & d$age > 65] <- NA
d$d1 <- as.numeric(d$status == 1)
d$d2 <- as.numeric(d$status == 2)
# mice::nelsonaalen is coxph's baseline hazard, by Efron's method at ties; Nelson and Aalen's has d / n there
hazard_at_exit <- function(event) {
  curve <- survfit(Surv(d$exit, event) ~ 1, ctype = 1, timefix = TRUE)
  curve$cumhaz[findInterval(d$exit + 1e-9, curve$time)]
}
d$h1 <- hazard_at_exit(d$d1)
d$h2 <- hazard_at_exit(d$d2)
used <- c("pad", "age", "sex", "bmi", "region", "d1", "d2", "h1", "h2")
tight <- coxph.control(eps = 1e-12, iter.max = 50, toler.chol = 1e-14)
impute <- function(m, maxit, seed) mice(
  d[, used], m = m, maxit = maxit, seed = seed, printFlag = FALSE,
  method = c(pad = "", age = "", sex = "logreg", bmi = "pmm", region = "polyreg", d1 = "", d2 = "", h1 = "", h2 = ""))
all_terms <- c("pad", "age", "sex", "bmi", "region")
cox <- function(data, terms = all_terms) {
  data$exit <- d$exit
  coxph(reformulate(terms, "Surv(exit, d1)"), data = data, control = tight)
}
logit <- function(data) glm(d$fracture ~ pad + age + sex + bmi + region, data = data, family = binomial,
                            control = glm.control(epsilon = 1e-14, maxit = 50))
copies <- function(imputed) lapply(seq_len(imputed$m), function(i) complete(imputed, i))
rubin <- function(fits, dfcom) {
  pooled <- summary(pool(as.mira(fits), dfcom = dfcom), type = "all")
  as.list(pooled[, c("estimate", "std.error", "df", "p.value", "fmi", "riv", "lambda", "ubar", "b")])
}
f_test <- function(data, terms, dfcom) {
  larger <- as.mitml.result(lapply(data, cox))
  smaller <- as.mitml.result(lapply(data, function(x) cox(x, setdiff(all_terms, terms))))
  as.list(as.data.frame(testModels(larger, smaller, method = "D1", df.com = dfcom)$test))
}

few <- impute(5, 5, 1)
data <- copies(few)
events <- sum(d$d1)
fits <- lapply(data, cox)
fewest <- min(sum(d$fracture), sum(1 - d$fracture))
logits <- lapply(data, logit)
tests <- list(
  pad = f_test(data, "pad", events - 6), region = f_test(data, "region", events - 6),
  region_large = f_test(data, "region", NULL), three = f_test(data, c("region", "bmi"), events - 6))
cells <- function(name) lapply(data, function(x) as.character(x[[name]][is.na(d[[name]])]))
many <- impute(400, 10, 2)
many_fits <- lapply(copies(many), cox)
out <- list(
  versions = list(R = R.version.string, mice = as.character(packageVersion("mice")),
                  mitml = as.character(packageVersion("mitml")), survival = as.character(packageVersion("survival"))),
  nelson_aalen = list(d$h1, d$h2),
  missing_region = d$id[is.na(d$region)], missing_sex = d$id[is.na(d$sex)],
  imputed = list(bmi = cells("bmi"), sex = cells("sex"), region = cells("region")),
  cox = list(df_complete = events - 6, coef = lapply(fits, function(f) unname(coef(f))),
             vcov = lapply(fits, function(f) unname(vcov(f))), pooled = rubin(fits, events - 6),
             tests = tests),
  logistic = list(df_complete = fewest - 6, pooled = rubin(logits, fewest - 6)),
  many = list(m = 400, pooled = rubin(many_fits, events - 6))
)
write_json(out, file.path(here, "imputation.json"), digits = I(17), auto_unbox = TRUE, na = "null")
