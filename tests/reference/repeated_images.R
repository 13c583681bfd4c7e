# Makes repeated_images.json from repeats.csv. Run: Rscript tests/reference/repeated_images.R
suppressMessages({library(nlme); library(lme4); library(psych); library(jsonlite)})
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE)))
d <- read.csv(file.path(here, "repeats.csv"))
d <- d[!is.na(d$pad), ]
d$subject_day <- interaction(d$id, d$day, drop = TRUE)
days <- aggregate(cbind(pad, n) ~ id + day, transform(d, n = 1), function(x) c(mean(x), length(x)))
days <- data.frame(id = days$id, day = days$day, pad = days$pad[, 1], n = days$n[, 2])
days <- days[order(days$id, days$day), ]

# same-day repeats
repeated <- merge(d, days[days$n >= 2, c("id", "day")])
repeated <- repeated[order(repeated$id, repeated$day, repeated$image), ]
within <- anova(lm(pad ~ droplevels(subject_day), data = repeated))["Residuals", ]
msw <- within[["Mean Sq"]]; df <- within[["Df"]]
within_interval <- sqrt(df * msw / qchisq(c(0.975, 0.025), df))

first <- repeated[repeated$day == ave(repeated$day, repeated$id, FUN = min), ]
table <- anova(lm(pad ~ factor(id), data = first))
msb <- table[1, "Mean Sq"]; mse <- table[2, "Mean Sq"]
size <- as.numeric(table(first$id)); k <- length(size); total <- sum(size)
n0 <- (total - sum(size^2) / total) / (k - 1)
means <- as.numeric(tapply(first$pad, first$id, mean))
wald <- function(probability) uniroot(function(icc) {
  w <- 1 / (icc / (1 - icc) + 1 / size)
  anova(lm(means ~ 1, weights = w))["Residuals", "Mean Sq"] / mse - qf(probability, k - 1, total - k)
}, c(-0.3, 1 - 1e-9), tol = 1e-15)$root
pairs <- first[ave(first$image, first$id, FUN = function(x) rank(x)) <= 2, ]
two <- matrix(pairs$pad, ncol = 2, byrow = TRUE)
balanced <- ICC(two, lmer = FALSE)$results["Single_raters_absolute", ]
drift <- t.test(two[, 2], two[, 1], paired = TRUE)

# change per year
days$years <- (days$day - ave(days$day, days$id, FUN = min)) / 365.25
span <- tapply(days$years, days$id, max)
kept <- days[days$id %in% names(span)[span >= 0.5], ]
lines <- lapply(split(kept, kept$id), function(s) {
  x <- cbind(1, s$years); inverse <- solve(t(x) %*% x) %*% t(x)
  fit <- lm(pad ~ years, data = s)
  list(slope = unname(coef(fit)[2]), error = sqrt((inverse %*% diag(1 / s$n, nrow(s)) %*% t(inverse))[2, 2]))
})
slope <- sapply(lines, `[[`, "slope"); error <- sapply(lines, `[[`, "error"); n <- length(slope)
mean_test <- t.test(slope)
beyond <- sum(abs(slope) > qnorm(0.975) * sqrt(msw) * error)
binomial <- binom.test(beyond, n)
tight <- lmeControl(maxIter = 500, msMaxIter = 500, tolerance = 1e-12, msTol = 1e-14, niterEM = 50, opt = "nlminb", msVerbose = FALSE)
nl <- lme(pad ~ years, random = ~ years | id, data = kept, method = "REML", control = tight)
l4 <- lmer(pad ~ years + (years | id), data = kept, REML = TRUE,
           control = lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-11, maxfun = 1e6), check.conv.grad = "ignore"))
singular <- transform(kept, pad = pad - slope[as.character(id)] * years)
s4 <- suppressMessages(lmer(pad ~ years + (years | id), data = singular, REML = TRUE,
           control = lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-11, maxfun = 1e6), check.conv.grad = "ignore")))
model <- function(f) list(change = unname(fixef(f)[2]), se = unname(sqrt(diag(as.matrix(vcov(f))))[2]), loglik = as.numeric(logLik(f)))

out <- list(
  versions = list(R = R.version.string, nlme = as.character(packageVersion("nlme")), lme4 = as.character(packageVersion("lme4")),
                  psych = as.character(packageVersion("psych"))),
  within = list(sd = sqrt(msw), df = df, interval = within_interval, detectable = qnorm(0.975) * sqrt(2 * msw)),
  icc = list(k = k, value = (msb - mse) / (msb + (n0 - 1) * mse), lower = wald(0.975), upper = wald(0.025)),
  balanced = list(icc = balanced[["ICC"]], lower = balanced[["lower bound"]], upper = balanced[["upper bound"]]),
  drift = list(mean = unname(drift$estimate), interval = as.numeric(drift$conf.int), p = drift$p.value),
  change = list(n = n, slope = unname(slope), error = unname(error), mean = unname(mean_test$estimate), interval = as.numeric(mean_test$conf.int),
                p = mean_test$p.value, sd = sd(slope), sd_interval = sd(slope) * sqrt((n - 1) / qchisq(c(0.975, 0.025), n - 1)),
                quantiles = unname(quantile(slope, c(0.05, 0.25, 0.5, 0.75, 0.95))), sd_error = sqrt(msw * mean(error^2)),
                share = unname(binomial$estimate), share_interval = as.numeric(binomial$conf.int), median_span = median(span[span >= 0.5])),
  nlme = c(model(nl), list(sd_change = as.numeric(VarCorr(nl)["years", "StdDev"]), sd_residual = nl$sigma)),
  lme4 = c(model(l4), list(sd_change = unname(attr(VarCorr(l4)$id, "stddev")[2]), sd_residual = sigma(l4))),
  singular = c(model(s4), list(sd_change = unname(attr(VarCorr(s4)$id, "stddev")[2]), sd_residual = sigma(s4)))
)
write_json(out, file.path(here, "repeated_images.json"), digits = I(17), auto_unbox = TRUE, na = "null", pretty = TRUE)
