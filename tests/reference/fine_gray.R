# Makes fine_gray.json from cohort.csv. Run: Rscript tests/reference/fine_gray.R
suppressMessages({library(cmprsk); library(jsonlite)})
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE)))
d <- read.csv(file.path(here, "cohort.csv"), stringsAsFactors = TRUE)
d <- d[!is.na(d$bmi), ]
x <- cbind(d$pad, d$age, d$sex == "M", d$bmi, d$region == "north", d$region == "west")
model <- function(rows, columns, cause) {
  fit <- crr(d$exit[rows], d$status[rows], x[rows, columns, drop = FALSE], failcode = cause, gtol = 1e-10)
  list(coef = unname(fit$coef), se = sqrt(diag(fit$var)), loglik = c(fit$loglik.null, fit$loglik), n = fit$n)
}
everybody <- seq_len(nrow(d))
out <- list(
  versions = list(R = R.version.string, cmprsk = as.character(packageVersion("cmprsk"))),
  full = model(everybody, 1:6, 1), other_cause = model(everybody, 1:6, 2), single = model(everybody, 1, 1), few = model(1:60, 1:2, 1)
)
write_json(out, file.path(here, "fine_gray.json"), digits = I(17), auto_unbox = TRUE, na = "null", pretty = TRUE)
