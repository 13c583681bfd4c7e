# Makes device_shift.json from cohort.csv. Run: Rscript tests/reference/device_shift.R
suppressMessages({library(Hmisc); library(sandwich); library(jsonlite)})
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE)))
d <- read.csv(file.path(here, "cohort.csv"))
d <- d[!is.na(d$pad) & !is.na(d$region) & d$region != "", ]
sizes <- table(d$region)
d$region <- relevel(factor(d$region), ref = names(sizes)[which.max(sizes)])
spline <- rcspline.eval(d$age, nk = 4, norm = 2, inclx = TRUE)
fit <- lm(pad ~ region + spline + sex, data = d)
v <- vcovHC(fit, type = "HC3")
own <- grep("^region", names(coef(fit)))
df <- fit$df.residual
b <- coef(fit)[own]; se <- sqrt(diag(v)[own])
f <- as.numeric(t(b) %*% solve(v[own, own]) %*% b) / length(own)
write_json(list(
  reference = levels(d$region)[1], n = nrow(d), df = df,
  levels = sub("^region", "", names(b)), value = unname(b), se = unname(se),
  lower = unname(b - qt(0.975, df) * se), upper = unname(b + qt(0.975, df) * se),
  p = unname(2 * pt(-abs(b / se), df)),
  f = f, f_df = length(own), f_p = pf(f, length(own), df, lower.tail = FALSE),
  versions = list(R = R.version.string, sandwich = as.character(packageVersion("sandwich")),
                  Hmisc = as.character(packageVersion("Hmisc")))
), file.path(here, "device_shift.json"), digits = NA, auto_unbox = TRUE, pretty = TRUE)
