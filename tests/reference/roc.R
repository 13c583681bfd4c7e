# Makes roc.json from cohort.csv. Run: Rscript tests/reference/roc.R
suppressMessages({library(pROC); library(jsonlite)})
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE)))
d <- read.csv(file.path(here, "cohort.csv"), stringsAsFactors = TRUE)
roc_of <- function(x) roc(d$fracture, x, direction = "<", quiet = TRUE)
one <- function(r) list(auc = as.numeric(auc(r)), var = var(r, method = "delong"), ci = as.numeric(ci.auc(r, method = "delong")))
spine <- roc_of(d$spine_age); age <- roc_of(d$age); pad <- roc_of(d$pad)
paired <- roc.test(spine, age, method = "delong", paired = TRUE)
fit <- glm(fracture ~ pad + age + sex, data = d, family = binomial, control = glm.control(epsilon = 1e-14, maxit = 50))
base <- glm(fracture ~ age + sex, data = d, family = binomial, control = glm.control(epsilon = 1e-14, maxit = 50))
line <- lm(spine_age ~ age, data = d)
p <- predict(line, data.frame(age = c(55, 70, 90)), interval = "confidence")
out <- list(
  versions = list(R = R.version.string, pROC = as.character(packageVersion("pROC"))),
  spine_age = one(spine), age = one(age), pad = one(pad),
  paired = list(difference = as.numeric(auc(spine)) - as.numeric(auc(age)), z = unname(paired$statistic), p = paired$p.value),
  logistic = list(coef = unname(coef(fit))[-1], se = unname(sqrt(diag(vcov(fit))))[-1], lr = base$deviance - fit$deviance, auc = one(roc_of(predict(fit)))),
  line = list(coef = unname(coef(line)), se = unname(summary(line)$coefficients[, 2]), fit = p[, 1], lower = p[, 2], upper = p[, 3]),
  r = cor.test(d$spine_age, d$age)[c("estimate", "conf.int", "p.value")] |> lapply(as.numeric),
  quantile7 = unname(quantile(d$bmi, c(.25, .5, .75), na.rm = TRUE))
)
write_json(out, file.path(here, "roc.json"), digits = I(17), auto_unbox = TRUE, na = "null", pretty = TRUE)
