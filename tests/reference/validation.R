# Makes validation.json from cohort.csv. Run: Rscript tests/reference/validation.R
suppressMessages({library(riskRegression); library(survival); library(prodlim); library(cmprsk); library(pROC); library(jsonlite)})
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE)))
d <- read.csv(file.path(here, "cohort.csv"), stringsAsFactors = TRUE)
d <- d[!is.na(d$bmi), ]
d$male <- as.integer(d$sex == "M"); d$first <- as.integer(d$status == 1)
tight <- coxph.control(eps = 1e-12, iter.max = 50, toler.chol = 1e-14)
set.seed(1)
draws <- lapply(1:4, function(b) sample(nrow(d), replace = TRUE))
h <- 2.5; tau <- 5; thresholds <- c(0.05, 0.1)
models <- list(without = c("age", "male", "bmi"), with = c("pad", "age", "male", "bmi"))
formula_of <- function(left, terms) as.formula(paste(left, "~", paste(terms, collapse = " + ")))
cloglog <- function(p) log(-log(1 - p))
frame <- function(x) lapply(as.list(as.data.frame(x)), function(v) if (is.factor(v)) as.character(v) else v)
score <- function(risk, response, data, times = h) Score(risk, formula = formula_of(response, "1"), data = data.frame(data), times = times, metrics = c("auc", "brier"), summary = "ipa", null.model = TRUE, se.fit = TRUE, conf.int = TRUE, cens.model = "km", conservative = FALSE, contrasts = TRUE)
benefit <- function(p, data, cause) sapply(thresholds, function(t) {
  above <- p >= t
  if (!any(above)) return(0)
  s <- summary(survfit(if (cause) Surv(exit, factor(status, 0:2)) ~ 1 else Surv(exit, first) ~ 1, data = data[above, ]), times = h, extend = TRUE)
  f <- if (cause) s$pstate[2] else 1 - s$surv
  mean(above) * (f - (1 - f) * t / (1 - t))
})
intercept <- function(p, f) uniroot(function(a) mean(1 - exp(-exp(a + cloglog(p)))) - f, c(-5, 5), tol = 1e-14)$root
ended <- function(data) { late <- data$exit > h; data$exit <- pmin(data$exit, h); data$status[late] <- 0; data$first[late] <- 0; data }

# what a model fitted to one set says of another: c, uno, auc, brier, ipa, intercept, slope, net benefits
measures <- list(
  alone = function(terms, from, to) {
    from <- as.data.frame(from); to <- as.data.frame(to) # riskRegression makes data.tables of what it is given
    fit <- coxph(formula_of("Surv(exit, first)", terms), data = from, x = TRUE, control = tight)
    lp <- as.matrix(to[, terms]) %*% coef(fit)
    p <- as.numeric(1 - summary(survfit(fit, newdata = to), times = h)$surv)
    s <- score(list(m = p), "Surv(exit, first)", to)
    e <- ended(to); e$x <- cloglog(p)
    c(concordance(Surv(exit, first) ~ lp, data = to, reverse = TRUE)$concordance, concordance(Surv(exit, first) ~ lp, data = to, reverse = TRUE, timewt = "n/G2", ymax = tau)$concordance,
      s$AUC$score$AUC, s$Brier$score$Brier[2], s$Brier$score$IPA[2],
      intercept(p, 1 - summary(survfit(Surv(exit, first) ~ 1, data = to), times = h)$surv), coef(coxph(Surv(exit, first) ~ x, data = e, control = tight)), benefit(p, to, FALSE))
  },
  competing = function(terms, from, to) {
    from <- as.data.frame(from); to <- as.data.frame(to) # riskRegression makes data.tables of what it is given
    fit <- CSC(formula_of("Hist(exit, status)", terms), data = from, cause = 1, control = tight)
    lp <- as.matrix(to[, terms]) %*% coef(fit$models[[1]])
    p <- as.numeric(predict(fit, newdata = to, times = h, cause = 1, product.limit = FALSE)$absRisk)
    s <- score(list(m = p), "Hist(exit, status)", to)
    e <- ended(to)
    f <- summary(survfit(Surv(exit, factor(status, 0:2)) ~ 1, data = to), times = h)$pstate[2]
    c(concordance(Surv(exit, first) ~ lp, data = to, reverse = TRUE)$concordance, concordance(Surv(exit, first) ~ lp, data = to, reverse = TRUE, timewt = "n/G2", ymax = tau)$concordance,
      s$AUC$score$AUC, s$Brier$score$Brier[2], s$Brier$score$IPA[2],
      intercept(p, f), crr(e$exit, e$status, cbind(cloglog(p)), gtol = 1e-10)$coef, benefit(p, to, TRUE))
  },
  binary = function(terms, from, to) {
    from <- as.data.frame(from); to <- as.data.frame(to) # riskRegression makes data.tables of what it is given
    exact <- glm.control(epsilon = 1e-14, maxit = 50)
    fit <- glm(formula_of("fracture", terms), data = from, family = binomial, control = exact)
    lp <- predict(fit, to); p <- plogis(lp); y <- to$fracture; brier <- mean((y - p)^2)
    c(as.numeric(auc(y, lp, direction = "<", levels = 0:1, quiet = TRUE)), brier, 1 - brier / mean((y - mean(y))^2),
      coef(glm(y ~ 1, offset = lp, family = binomial, control = exact)), coef(glm(y ~ lp, family = binomial, control = exact))[2],
      sapply(thresholds, function(t) mean(p >= t & y == 1) - mean(p >= t & y == 0) * t / (1 - t)))
  }
)
optimism <- lapply(measures, function(measure) lapply(models, function(terms) {
  gaps <- sapply(draws, function(rows) measure(terms, d[rows, ], d[rows, ]) - measure(terms, d[rows, ], d))
  list(apparent = unname(measure(terms, d, d)), optimism = unname(rowMeans(gaps)))
}))

# the whole sample, with standard errors: Score on the models' own predictions
cox_risk <- lapply(models, function(terms) as.numeric(1 - summary(survfit(coxph(formula_of("Surv(exit, first)", terms), data = d, x = TRUE, control = tight), newdata = d), times = h)$surv))
csc_risk <- lapply(models, function(terms) as.numeric(predict(CSC(formula_of("Hist(exit, status)", terms), data = d, cause = 1, control = tight), newdata = d, times = h, cause = 1, product.limit = FALSE)$absRisk))
tables <- function(s) list(auc = frame(s$AUC$score), auc_contrasts = frame(s$AUC$contrasts), brier = frame(s$Brier$score), brier_contrasts = frame(s$Brier$contrasts))
binary_risk <- lapply(models, function(terms) fitted(glm(formula_of("fracture", terms), data = d, family = binomial, control = glm.control(epsilon = 1e-14, maxit = 50))))
whole <- list(alone = tables(score(cox_risk, "Surv(exit, first)", d)), competing = tables(score(csc_risk, "Hist(exit, status)", d)), binary = tables(score(binary_risk, "fracture", d, NULL)))

out <- list(
  versions = c(list(R = R.version.string), lapply(setNames(nm = c("survival", "riskRegression", "cmprsk", "pROC")), function(p) as.character(packageVersion(p)))),
  horizon = h, tau = tau, thresholds = thresholds, draws = lapply(draws, function(rows) rows - 1L), optimism = optimism, whole = whole)
write_json(out, file.path(here, "validation.json"), digits = I(17), auto_unbox = TRUE, na = "null", pretty = FALSE)
