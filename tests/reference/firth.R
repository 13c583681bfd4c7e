# Makes firth.json. Run: Rscript tests/reference/firth.R
# coxphf and logistf are not needed: the penalised likelihoods are written out here subject by subject and
# maximised with numerical derivatives; intervals are roots of their profiles.
suppressMessages({library(survival); library(jsonlite); library(numDeriv)})
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE)))
d <- read.csv(file.path(here, "cohort.csv"), stringsAsFactors = TRUE)
d <- d[1:150, ]
d$male <- as.numeric(d$sex == "M")
d$rare <- as.numeric(d$status != 1 & d$pad > 3)  # nobody with it has the event: monotone likelihood
d$sure <- as.numeric(d$fracture == 1 & d$age > 75) # everybody with it is a case: quasi-separation

cox_terms <- function(beta, x, entry, exit, event, efron) {
  r <- exp(drop(x %*% beta)); l <- 0; info <- matrix(0, ncol(x), ncol(x))
  for (t in sort(unique(exit[event]))) {
    at <- which(entry < t & exit >= t); dead <- which(event & exit == t); k <- length(dead)
    for (j in seq_len(k)) {
      f <- if (efron) (j - 1) / k else 0
      w <- r; w[dead] <- w[dead] * (1 - f); w <- w[at]
      m <- colSums(w * x[at, , drop = FALSE]) / sum(w)
      c <- sweep(x[at, , drop = FALSE], 2, m)
      l <- l + log(r[dead[j]]) - log(sum(w))
      info <- info + crossprod(c, c * w) / sum(w)
    }
  }
  list(l = l + 0.5 * as.numeric(determinant(info)$modulus), info = info)
}
logit_terms <- function(beta, x, y) {
  eta <- drop(x %*% beta); p <- plogis(eta); info <- crossprod(x, x * p * (1 - p))
  list(l = sum(y * plogis(eta, log.p = TRUE) + (1 - y) * plogis(-eta, log.p = TRUE)) +
         0.5 * as.numeric(determinant(info)$modulus), info = info)
}
climb <- function(f, start) {
  b <- start
  for (i in 1:60) {
    g <- grad(f, b, method.args = list(r = 6)); h <- hessian(f, b, method.args = list(r = 6))
    s <- -solve(h, g)
    while (f(b + s) < f(b) - 1e-11 && max(abs(s)) > 1e-12) s <- s / 2
    b <- b + s
    if (max(abs(s)) < 1e-11) break
  }
  b
}
report <- function(terms, p, first) {
  f <- function(b) terms(b)$l
  best <- climb(f, rep(0, p)); top <- f(best)
  profile <- function(j, v, start) {
    if (p == 1) return(f(v))
    g <- function(o) { b <- numeric(p); b[j] <- v; b[-j] <- o; f(b) }
    g(climb(g, start[-j]))
  }
  se <- sqrt(diag(solve(terms(best)$info)))
  j <- first
  cut <- function(v) 2 * (top - profile(j, v, best)) - qchisq(0.95, 1)
  lower <- uniroot(cut, c(best[j] - 5 * se[j], best[j]), tol = 1e-10, extendInt = "downX")$root
  upper <- uniroot(cut, c(best[j], best[j] + 5 * se[j]), tol = 1e-10, extendInt = "upX")$root
  list(coef = best, se = se, loglik = top, lower = lower, upper = upper,
       p = pchisq(2 * (top - profile(j, 0, best)), 1, lower.tail = FALSE))
}
cox <- function(columns, efron, late = FALSE) {
  x <- scale(as.matrix(d[columns]), scale = FALSE)
  entry <- if (late) ifelse(d$entry > 0, d$entry, -Inf) else rep(-Inf, nrow(d))
  terms <- function(b) cox_terms(b, x, entry, d$exit, d$status == 1, efron)
  report(terms, length(columns), 1)
}
logit <- function(columns) {
  x <- cbind(1, scale(as.matrix(d[columns]), scale = FALSE))
  report(function(b) logit_terms(b, x, d$fracture), ncol(x), 2)
}
out <- list(
  versions = list(R = R.version.string, numDeriv = as.character(packageVersion("numDeriv"))),
  cox_efron = cox(c("pad", "age", "male"), TRUE),
  cox_breslow = cox(c("pad", "age", "male"), FALSE),
  cox_late = cox(c("pad", "age"), TRUE, late = TRUE),
  cox_one = cox("pad", TRUE),
  cox_monotone = cox(c("rare", "age"), TRUE),
  logistic = logit(c("pad", "age", "male")),
  logistic_separated = logit(c("sure", "age"))
)
write_json(out, file.path(here, "firth.json"), digits = I(17), auto_unbox = TRUE, na = "null", pretty = TRUE)
