# Makes association.json from association.csv. Run: Rscript tests/reference/association.R
suppressMessages({library(survival); library(Hmisc); library(rms); library(splines); library(jsonlite)})
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE)))
d <- read.csv(file.path(here, "association.csv"), stringsAsFactors = TRUE)
d$smoking <- relevel(d$smoking, "never")
tight <- coxph.control(eps = 1e-13, iter.max = 60, toler.chol = 1e-15)
sd_pad <- sd(d$pad); sd_raw <- sd(d$pad_raw)
K <- 4

fit_of <- function(formula, data) suppressWarnings(do.call(coxph, list(formula, data = data, ties = "efron", control = tight)))
pick <- function(fit, name = "pad") {
  i <- match(name, names(coef(fit)))
  list(coef = unname(coef(fit)[i]), se = unname(sqrt(vcov(fit)[i, i])), n = fit$n, events = fit$nevent, infinite = any(abs(coef(fit)) > 10))
}
zph_of <- function(fit) {
  each <- lapply(c(km = "km", rank = "rank", identity = "identity"), function(g) {
    z <- cox.zph(fit, transform = g); list(chisq = unname(z$table[, "chisq"]), df = unname(z$table[, "df"]), p = unname(z$table[, "p"]))
  })
  each
}
conc_of <- function(fit, base) {
  both <- concordance(fit, base)
  v <- both$var
  list(c = unname(both$concordance), se = unname(sqrt(diag(v))), se_difference = sqrt(v[1, 1] + v[2, 2] - 2 * v[1, 2]))
}
band <- function(age) cut(age, c(40, 50, 60, 70, 80, 120), right = FALSE)

# one configuration of follow-up: everything of a model with covariates `rhs`
variants <- function(d, start, vars) {
  # start: "" or "entry, "
  rhs <- paste(c("pad", vars), collapse = " + "); rhs_raw <- sub("^pad", "pad_raw", rhs); no_pad <- paste(vars, collapse = " + ")
  y <- if (start == "") "Surv(exit, status == 1)" else "Surv(entry, exit, status == 1)"
  f <- function(lhs, r) as.formula(paste(lhs, "~", r))
  cc <- d[complete.cases(d[, c("pad", vars)]), ]
  out <- list()
  main <- fit_of(f(y, rhs), cc)
  out$main <- pick(main); out$main_raw <- pick(fit_of(f(y, rhs_raw), cc), "pad_raw")
  out$zph <- zph_of(main)
  out$robust <- pick(fit_of(f(y, paste(rhs, "+ cluster(id)")), cc))
  out$robust_raw <- pick(fit_of(f(y, paste(rhs_raw, "+ cluster(id)")), cc), "pad_raw")
  out$cluster <- pick(fit_of(f(y, paste(rhs, "+ cluster(ward)")), cc))
  known <- cc[!is.na(cc$site), ]
  left <- setdiff(vars, c("sex", "site"))
  s <- fit_of(f(y, paste(paste(c("pad", left), collapse = " + "), "+ strata(site, sex)")), known)
  s0 <- fit_of(f(y, paste(paste(left, collapse = " + "), "+ strata(site, sex)")), known)
  out$strata <- pick(s); out$strata_zph <- zph_of(s); out$strata_c <- conc_of(s, s0)
  a <- cc; a$from <- a$age + if (start == "") 0 else a$entry; a$to <- a$age + a$exit; a <- a[a$to > a$from, ]
  out$age_scale <- pick(fit_of(f("Surv(from, to, status == 1)", paste(c("pad", setdiff(vars, "age")), collapse = " + ")), a))
  for (L in c(1, 2.5)) {
    m <- cc[cc$exit > L + 1e-9, ]; m$exit <- m$exit - L; m$entry <- pmax(m$entry - L, 0)
    out[[paste0("landmark_", L)]] <- pick(fit_of(f(y, rhs), m))
  }
  cc$age_basis <- rcspline.eval(cc$age, nk = K, inclx = TRUE)
  out$age_spline <- pick(fit_of(f(y, sub("\\bage\\b", "age_basis", rhs)), cc))
  # PAD curved
  knots <- attr(rcspline.eval(cc$pad, nk = K), "knots"); basis <- function(x) rcspline.eval(x, knots, inclx = TRUE)
  cc$pad_basis <- basis(cc$pad)
  curved <- fit_of(f(y, paste(c("pad_basis", vars), collapse = " + ")), cc); base <- fit_of(f(y, no_pad), cc)
  wald <- function(j) sum(coef(curved)[j] * solve(vcov(curved)[j, j], coef(curved)[j]))
  x <- seq(quantile(cc$pad, .01), quantile(cc$pad, .99), length = 101)
  B <- basis(c(x, 0)); B <- sweep(B[1:101, ], 2, B[102, ]); j <- 1:(K - 1)
  out$spline <- list(knots = knots, wald_global = wald(j), wald_nonlinear = wald(2:(K - 1)),
    lr_global = 2 * (curved$loglik[2] - base$loglik[2]), lr_nonlinear = 2 * (curved$loglik[2] - main$loglik[2]),
    x = unname(x), log_hr = as.vector(B %*% coef(curved)[j]), se = sqrt(rowSums((B %*% vcov(curved)[j, j]) * B)))
  # beta(t): natural spline through scaled residuals
  z <- cox.zph(main, transform = "km", terms = FALSE)
  N <- ns(z$x, knots = quantile(z$x, c(1, 2) / 3), intercept = TRUE)
  smooth <- lm.fit(N, z$y[, "pad"]); keep <- !duplicated(z$time)
  out$beta_t <- list(time = z$time[keep], value = unname(smooth$fitted.values[keep]),
    se = unname(sqrt(z$var[1, 1] * rowSums(qr.Q(smooth$qr)^2))[keep]))
  # subgroups
  levels_of <- function(name, g) {
    rest <- setdiff(vars, name)
    each <- lapply(split(cc, g), function(part) {
      if (sum(part$status == 1) < 5) return(list(n = nrow(part), events = sum(part$status == 1)))
      part <- droplevels(part)
      vary <- rest[sapply(rest, function(v) length(unique(part[[v]])) > 1)]
      pick(fit_of(f(y, paste(c("pad", vary), collapse = " + ")), part))
    })
    enough <- names(each)[sapply(each, function(e) e$events >= 5)]
    own <- cc[!is.na(g) & g %in% enough, ]; own$g <- droplevels(factor(g[!is.na(g) & g %in% enough]))
    own <- droplevels(own)
    more <- paste(c(rest, "g"), collapse = " + ")
    lr <- 2 * (fit_of(f(y, paste("pad +", more, "+ pad:g")), own)$loglik[2] - fit_of(f(y, paste("pad +", more)), own)$loglik[2])
    list(levels = each, lr = lr, df = nlevels(own$g) - 1, n = nrow(own))
  }
  out$subgroup_sex <- levels_of("sex", cc$sex); out$subgroup_band <- levels_of("none", band(cc$age))
  out$subgroup_site <- levels_of("none", cc$site)
  if ("smoking" %in% vars) out$subgroup_smoking <- levels_of("smoking", cc$smoking)
  out
}

# rms::cph itself, on times rounded so that near-ties are ties without survival's timefix
cph_of <- function() {
  e <- d; e$exit <- round(e$exit, 6); e <- e[, c("exit", "status", "pad", "age", "sex")]
  dd <<- datadist(e); options(datadist = "dd")
  m <- cph(Surv(exit, status == 1) ~ rcs(pad, 4) + age + sex, data = e, method = "efron", eps = 1e-13, iter.max = 60)
  a <- anova(m); k <- contrast(m, list(pad = c(-5, 3, 6)), list(pad = 0))
  list(wald_global = a["pad", "Chi-Square"], wald_nonlinear = a[" Nonlinear", "Chi-Square"], at = c(-5, 3, 6),
       log_hr = unname(k$Contrast), se = unname(k$SE))
}

# direct standardisation of rates by age band and sex to all person-years; Fay and Feuer's interval
standardised <- function(status, years, group, stratum) {
  keep <- !is.na(stratum); py <- tapply(years[keep], list(stratum[keep], group[keep]), sum); ev <- tapply((status == 1)[keep], list(stratum[keep], group[keep]), sum)
  py[is.na(py)] <- 0; ev[is.na(ev)] <- 0
  ok <- rowSums(py > 0) == ncol(py); py <- py[ok, ]; ev <- ev[ok, ]
  w <- rowSums(py) / sum(py)
  lapply(colnames(py), function(g) {
    wk <- w / py[, g]; y <- sum(wk * ev[, g]); v <- sum(wk^2 * ev[, g]); wm <- max(wk)
    list(rate = 1000 * y, se = 1000 * sqrt(v), lower = 1000 * v / (2 * y) * qchisq(.025, 2 * y^2 / v),
         upper = 1000 * (v + wm^2) / (2 * (y + wm)) * qchisq(.975, 2 * (y + wm)^2 / (v + wm^2)), person_years = sum(py[, g]), events = sum(ev[, g]))
  })
}
group <- findInterval(d$pad, quantile(d$pad, c(1, 2) / 3), left.open = TRUE)
late <- d[d$exit > 0, ]

# eight subjects, tied, one covariate and two
tiny <- data.frame(entry = c(0, 0, 1, 0, 2, 0, 0, 1), time = c(1, 2, 2, 3, 3, 4, 5, 5), event = c(1, 1, 0, 1, 1, 0, 1, 0),
                   x = c(2.5, -1, 0.3, 1.1, 0.4, -0.7, 0.9, -2), z = c(1, 0, 1, 1, 0, 0, 0, 1), g = c(1, 1, 2, 2, 1, 1, 2, 2))
tiny_of <- function(formula, cluster = NULL) {
  m <- coxph(formula, tiny, ties = "efron", control = tight)
  list(coef = unname(coef(m)), se = unname(sqrt(diag(vcov(m)))), zph = zph_of(m), c = unname(concordance(m)$concordance), c_se = unname(sqrt(concordance(m)$var)))
}
p <- c(0.01, 0.02, 0.02, 0.04, 0.5, 1e-300, 0.9, 0.049)
out <- list(
  versions = list(R = R.version.string, survival = as.character(packageVersion("survival")), rms = as.character(packageVersion("rms")), Hmisc = as.character(packageVersion("Hmisc"))),
  sd = list(pad = sd_pad, pad_raw = sd_raw),
  plain = list(short = variants(d, "", c("age", "sex")), long = variants(d, "", c("age", "sex", "bmi", "smoking"))),
  late = list(short = variants(late, "entry, ", c("age", "sex")), long = variants(late, "entry, ", c("age", "sex", "bmi", "smoking"))),
  cph = cph_of(),
  standardised = standardised(d$status, d$exit, group, interaction(band(d$age), d$sex)),
  tiny = list(one = tiny_of(Surv(time, event) ~ x), two = tiny_of(Surv(time, event) ~ x + z), late = tiny_of(Surv(entry, time, event) ~ x),
              robust = tiny_of(Surv(time, event) ~ x + cluster(seq_along(x))), cluster = tiny_of(Surv(time, event) ~ x + cluster(g)), strata = tiny_of(Surv(time, event) ~ x + strata(g))),
  p_adjust = list(p = p, holm = p.adjust(p, "holm"), bh = p.adjust(p, "BH"))
)
write_json(out, file.path(here, "association.json"), digits = I(17), auto_unbox = TRUE, na = "null", pretty = FALSE)
