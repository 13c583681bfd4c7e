# Makes classification.json from cohort.csv. Run: Rscript tests/reference/classification.R
suppressMessages({library(riskRegression); library(survival); library(prodlim); library(Hmisc); library(jsonlite)})
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE)))
d <- read.csv(file.path(here, "cohort.csv"), stringsAsFactors = TRUE)
d <- d[!is.na(d$bmi), ]
d$first <- as.integer(d$status == 1)
y <- d$fracture
share <- function(k, n) { w <- prop.test(k, n, correct = FALSE)$conf.int; c(k / n, w[1], w[2]) } # Wilson's interval
at <- function(cut) { above <- d$pad >= cut
  list(sensitivity = share(sum(above & y == 1), sum(y == 1)), specificity = share(sum(!above & y == 0), sum(y == 0)),
       ppv = share(sum(above & y == 1), sum(above)), npv = share(sum(!above & y == 0), sum(!above))) }
cuts <- c(-3, 0, 4)

# TPR and FPR of the marker at each of its values, by inverse probability of censoring
roc <- function(response) {
  s <- Score(list(pad = d$pad), formula = as.formula(paste(response, "~ 1")), data = data.frame(d), times = 2.5, metrics = "auc", plots = "ROC", se.fit = FALSE, cens.model = "km", null.model = FALSE)
  f <- as.data.frame(s$ROC$plotframe)
  lapply(cuts, function(cut) { r <- f[abs(f$risk - min(f$risk[f$risk >= cut - 1e-9])) < 1e-9, ]; list(sensitivity = max(r$TPR), specificity = 1 - max(r$FPR)) })
}

logit <- function(f) fitted(glm(f, data = d, family = binomial, control = glm.control(epsilon = 1e-14, maxit = 50)))
p1 <- logit(y ~ age + bmi); p2 <- logit(y ~ pad + age + bmi)
i <- improveProb(p1, p2, y)
out <- list(
  versions = c(list(R = R.version.string), lapply(setNames(nm = c("survival", "riskRegression", "Hmisc")), function(p) as.character(packageVersion(p)))),
  cuts = cuts, wilson = lapply(cuts, at), alone = roc("Surv(exit, first)"), competing = roc("Hist(exit, status)"),
  reclassification = list(nri = i$nri, nri_se = i$se.nri, idi = i$idi, idi_se = i$se.idi))
write_json(out, file.path(here, "classification.json"), digits = I(17), auto_unbox = TRUE, na = "null", pretty = TRUE)
