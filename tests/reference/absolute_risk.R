# Makes absolute_risk.json from cohort.csv. Run: Rscript tests/reference/absolute_risk.R
suppressMessages({library(riskRegression); library(survival); library(prodlim); library(cmprsk); library(rms); library(Hmisc); library(jsonlite)})
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE)))
d <- read.csv(file.path(here, "cohort.csv"), stringsAsFactors = TRUE)
d <- d[!is.na(d$bmi), ]
d$male <- as.integer(d$sex == "M"); d$first <- as.integer(d$status == 1); d$second <- as.integer(d$status == 2)
tight <- coxph.control(eps = 1e-12, iter.max = 50, toler.chol = 1e-14)
cox <- function(f, data = d) coxph(f, data = data, ties = "efron", x = TRUE, y = TRUE, control = tight)
horizons <- c(1, 2.5, 5)
some <- 1:40
column <- function(m) lapply(seq_len(ncol(m)), function(j) as.numeric(m[, j]))
baseline <- function(fit) { b <- basehaz(fit, centered = TRUE); list(times = b$time, hazard = b$hazard, of = unname(fit$means)) } # R does not centre 0/1 columns

# 1. risks: one cause (survfit), late entry, and both causes (CSC with the exponential convention)
one <- cox(Surv(exit, first) ~ pad + age + male + bmi)
late <- cox(Surv(entry, exit, first) ~ pad + age + male + bmi)
# CSC calls its fitter with R's own tolerance; the same Cox models are fitted more tightly here and put in
csc <- CSC(Hist(exit, status) ~ pad + age + male + bmi, data = d, cause = 1, control = tight)
csc_risk <- predict(csc, newdata = d[some, ], times = horizons, cause = 1, product.limit = FALSE)$absRisk
limit_risk <- predict(csc, newdata = d[some, ], times = horizons, cause = 1, product.limit = TRUE)$absRisk
survived <- function(fit) { s <- summary(survfit(fit, newdata = d[some, ]), times = horizons); column(1 - t(s$surv)) }
# by hand, with late entry, both causes: sum of S(s-) dH1(s)
by_hand <- function(first, second, newdata) {
  b1 <- basehaz(first, centered = TRUE); b2 <- basehaz(second, centered = TRUE)
  stopifnot(all(b1$time == b2$time))
  r1 <- predict(first, newdata, type = "risk", reference = "sample"); r2 <- predict(second, newdata, type = "risk", reference = "sample")
  jump <- diff(c(0, b1$hazard)); before1 <- c(0, head(b1$hazard, -1)); before2 <- c(0, head(b2$hazard, -1))
  sapply(horizons, function(h) { use <- b1$time <= h; sapply(seq_along(r1), function(i) sum((exp(-r1[i] * before1 - r2[i] * before2) * r1[i] * jump)[use])) })
}
late_second <- cox(Surv(entry, exit, second) ~ pad + age + male + bmi)
risk <- list(one = survived(one), late = survived(late), csc = column(csc_risk), product_limit = column(limit_risk), late_both = column(by_hand(late, late_second, d[some, ])), baseline = baseline(one), baseline_late = baseline(late))

# 2. calibration of a model that is wrong on purpose, at 2.5 and 5 years
wrong <- list(alone = 1 - exp(-0.09 * exp(0.06 * d$pad + 0.05 * (d$age - 70))), competing = 1 - exp(-0.07 * exp(0.15 * d$pad + 0.02 * (d$age - 70))))
cloglog <- function(p) log(-log(1 - p))
ended <- function(h, entry = FALSE) { e <- d; late <- e$exit > h; e$exit <- pmin(e$exit, h); e$status[late] <- 0; e$first[late] <- 0; if (entry) e[e$entry < h, ] else e }
errors <- function(observed, p) { a <- abs(observed - p); list(ici = mean(a), e50 = unname(quantile(a, .5)), e90 = unname(quantile(a, .9)), observed = observed[some]) }
in_the_large <- function(p, f, se, off) {
  a <- uniroot(function(a) mean(1 - exp(-exp(a + cloglog(p)))) - f, c(-5, 5), tol = 1e-14)$root
  hz <- exp(a + cloglog(p))
  list(observed = f, se = se, o_e = f / mean(p), o_e_se = se / f, intercept = a, intercept_se = se / mean(hz * exp(-hz)))
}
alone <- function(h, entry) {
  p <- wrong$alone; e <- ended(h, entry); e$p <- cloglog(p)[match(e$id, d$id)]
  y <- if (entry) Surv(e$entry, e$exit, e$first) else Surv(e$exit, e$first)
  whole <- if (entry) Surv(d$entry, d$exit, d$first) else Surv(d$exit, d$first)
  km <- summary(survfit(whole ~ 1), times = h)
  slope <- coxph(y ~ p, data = e, control = tight)
  k <- attr(rcspline.eval(cloglog(p), nk = 4), "knots")
  basis <- function(x) rcspline.eval(x, knots = k, inclx = TRUE, norm = 2)
  b <- basis(e$p); colnames(b) <- c("a", "b", "c"); e <- cbind(e, b)
  spline <- coxph(y ~ a + b + c, data = e, control = tight)
  new <- as.data.frame(basis(cloglog(p))); names(new) <- c("a", "b", "c")
  observed <- as.numeric(1 - summary(survfit(spline, newdata = new), times = h)$surv)
  c(in_the_large(p, 1 - km$surv, km$std.err), list(slope = unname(coef(slope)), slope_se = sqrt(vcov(slope)[1, 1])), errors(observed, p))
}
competing <- function(h) {
  p <- wrong$competing; e <- ended(h)
  aj <- summary(survfit(Surv(exit, factor(status)) ~ 1, data = d), times = h)
  x <- cloglog(p)
  slope <- crr(e$exit, e$status, cbind(x), gtol = 1e-10)
  b <- rcspline.eval(x, nk = 4, inclx = TRUE, norm = 2)
  spline <- crr(e$exit, e$status, b, gtol = 1e-10, maxiter = 50)
  curve <- predict(spline, cov1 = b)
  observed <- as.numeric(curve[max(which(curve[, 1] <= h)), -1])
  c(in_the_large(p, aj$pstate[2], aj$std.err[2]), list(slope = unname(slope$coef), slope_se = sqrt(slope$var[1, 1])), errors(observed, p))
}
y <- d$fracture; pb <- plogis(-1.2 + 0.08 * d$pad + 0.07 * (d$age - 70))
offset_fit <- glm(y ~ 1, offset = qlogis(pb), family = binomial, control = glm.control(epsilon = 1e-14, maxit = 50))
slope_fit <- glm(y ~ qlogis(pb), family = binomial, control = glm.control(epsilon = 1e-14, maxit = 50))
smooth_fit <- glm(y ~ rcspline.eval(qlogis(pb), nk = 4, inclx = TRUE, norm = 2), family = binomial, control = glm.control(epsilon = 1e-14, maxit = 50))
vp <- val.prob(pb, y, pl = FALSE)
binary <- c(list(intercept = unname(coef(offset_fit)), intercept_se = sqrt(vcov(offset_fit)[1, 1]), slope = unname(coef(slope_fit)[2]), slope_se = sqrt(vcov(slope_fit)[2, 2]), val_prob_slope = unname(vp["Slope"]), val_prob_brier = unname(vp["Brier"]), o_e = mean(y) / mean(pb)), errors(unname(fitted(smooth_fit)), pb))

# 3. net benefit (Vickers' formulas with survfit among those at or above the threshold)
thresholds <- c(0.05, 0.1, 0.15, 0.2, 0.3)
benefit <- function(p, response, cause, h) sapply(thresholds, function(t) {
  above <- p >= t
  if (!any(above)) return(0)
  s <- summary(survfit(response[above, ] ~ 1), times = h, extend = TRUE)
  f <- if (cause) s$pstate[2] else 1 - s$surv
  if (max(d$exit[above]) < h && (if (cause) s$pstate[1] else s$surv) > 1e-12) return(NA)
  mean(above) * (f - (1 - f) * t / (1 - t))
})
everybody <- function(response, cause, h) benefit(rep(1, nrow(d)), response, cause, h)
single <- Surv(d$exit, d$first); truncated <- Surv(d$entry, d$exit, d$first); multi <- Surv(d$exit, factor(d$status))
decision <- list(thresholds = thresholds, alone = benefit(wrong$alone, single, FALSE, 5), alone_all = everybody(single, FALSE, 5), late = benefit(wrong$alone, truncated, FALSE, 5),
  competing = benefit(wrong$competing, multi, TRUE, 5), competing_all = everybody(multi, TRUE, 5),
  binary = sapply(thresholds, function(t) mean(pb >= t & y == 1) - mean(pb >= t & y == 0) * t / (1 - t)))

# 4. where the knots go, and the columns
pile <- pmax(d$pad, 0); both_piles <- pmin(pmax(d$pad, -3), 4); few <- d$bmi[1:60]
place <- function(x) lapply(3:7, function(k) rcspline.eval(x, nk = k, knots.only = TRUE))
spline <- list(pad = place(d$pad), pile = place(pile), both_piles = place(both_piles), few = place(few), columns = column(rcspline.eval(d$pad, nk = 5, inclx = TRUE, norm = 2)[some, ]))

out <- list(
  versions = c(list(R = R.version.string), lapply(setNames(nm = c("survival", "riskRegression", "cmprsk", "rms", "Hmisc")), function(p) as.character(packageVersion(p)))),
  horizons = horizons, risk = risk, calibration = list(alone = alone(5, FALSE), alone_early = alone(2.5, FALSE), late = alone(5, TRUE), competing = competing(5), competing_early = competing(2.5), binary = binary), decision = decision, spline = spline)
write_json(out, file.path(here, "absolute_risk.json"), digits = I(17), auto_unbox = TRUE, na = "null", pretty = FALSE)
