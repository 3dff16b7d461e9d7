"""The calls of docs/rosetta.md: which text each package runs for which row. Every text is run as it stands here.

A program of a package is its `start`, then for every row the call, which it binds to `fit`, and `read`, which makes of
`fit` rows of term, estimate, standard error and p-value (missing where the package's numbers hold none).
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["FORMULA", "PACKAGES", "ROWS", "Package", "Row"]

#: Card (1995), the returns to schooling, with few controls so that the calls stay short.
FORMULA = "lwage ~ educ + exper + black | exper + black + nearc4 + nearc2"
SLOPES = "lwage ~ educ + exper + black"


@dataclass(frozen=True)
class Row:
    """A row: estimator × covariance × reference distribution, as ivbridge spells it."""

    group: str
    method: str
    vcov: str
    inference: str
    weights: str | None = None

    @property
    def key(self) -> str:
        return f"{self.group} | {self.vcov} | {self.inference}" if self.method != "fuller(1)" else f"Fuller | {self.vcov} | {self.inference}"

    @property
    def formula(self) -> str:
        return SLOPES if self.group == "OLS" else FORMULA


CR0, CR, CR1 = "cluster(age, type=HC0, cadjust=False)", "cluster(age)", "cluster(age, type=HC1)"
TWO_WAY = "cluster(exper, region, type=HC1)"
NW, NWA, NWP = "nw(4, prewhite=0)", "nw(4, prewhite=0, adjust=True)", "nw(4)"

ROWS = tuple(
    Row(group, method, vcov, inference, weights)
    for group, method, weights, asked in (
        ("OLS", "2sls", None, (("classical", "t"), ("HC1", "t"), ("HC2", "t"), ("HC3", "t"), (CR1, "t"))),
        ("2SLS", "2sls", None, (("classical", "t"), ("classical", "z"), ("HC0", "t"), ("HC0", "z"), ("HC1", "t"),
                                ("HC1", "z"), ("HC2", "t"), ("HC3", "t"), (CR0, "z"), (CR, "t"), (CR1, "t"),
                                (CR1, "z"), (TWO_WAY, "t"), (NW, "z"), (NWA, "t"), (NWP, "t"))),
        ("weighted 2SLS", "2sls", "weight", (("classical", "t"), ("HC0", "z"), ("HC1", "t"), (CR, "t"), (CR1, "t"))),
        ("LIML", "liml", None, (("classical", "t"), ("HC0", "z"), ("HC1", "t"), (CR1, "t"))),
        ("LIML", "fuller(1)", None, (("classical", "t"), ("HC1", "t"))),
    )
    for vcov, inference in asked
)  # fmt: skip


@dataclass(frozen=True)
class Package:
    """A column: what it runs.

    `calls` maps (estimator, vcov) or (estimator, vcov, inference) to a call; a pair serves every inference, since the
    package's table has only one.
    """

    name: str
    language: str
    start: str
    read: str
    calls: dict[tuple[str, ...], str] = field(default_factory=dict)
    versions: tuple[str, ...] = ()
    note: str = ""

    def call(self, row: Row) -> str | None:
        estimator = "Fuller" if row.method == "fuller(1)" else row.group
        return self.calls.get((estimator, row.vcov, row.inference)) or self.calls.get((estimator, row.vcov))


def _linearmodels() -> Package:
    kinds = {"classical": "cov_type='unadjusted'", "HC0": "cov_type='robust'", "HC1": "cov_type='robust', debiased=True"}
    cluster = "cov_type='clustered', clusters=data['age']"
    text = "lwage ~ 1 + exper + black + [educ ~ nearc4 + nearc2]"
    fits = {
        "OLS": "IV2SLS.from_formula('lwage ~ 1 + exper + black + educ', data)",
        "2SLS": f"IV2SLS.from_formula('{text}', data)",
        "weighted 2SLS": f"IV2SLS.from_formula('{text}', data, weights=data['weight'])",
        "LIML": f"IVLIML.from_formula('{text}', data)",
        "Fuller": f"IVLIML.from_formula('{text}', data, fuller=1)",
    }
    calls: dict[tuple[str, ...], str] = {}
    for estimator, fit in fits.items():
        calls[estimator, "classical", "t"] = f"{fit}.fit(cov_type='unadjusted', debiased=True)"
        calls[estimator, "classical", "z"] = f"{fit}.fit({kinds['classical']})"
        calls[estimator, "HC0"] = f"{fit}.fit({kinds['HC0']})"
        calls[estimator, "HC1"] = f"{fit}.fit({kinds['HC1']})"
        calls[estimator, CR0] = f"{fit}.fit({cluster})"
        calls[estimator, CR1] = f"{fit}.fit({cluster}, debiased=True)"
        calls[estimator, TWO_WAY] = f"{fit}.fit(cov_type='clustered', clusters=data[['exper', 'region']], debiased=True)"
        calls[estimator, NW] = f"{fit}.fit(cov_type='kernel', kernel='bartlett', bandwidth=4)"
        calls[estimator, NWA] = f"{fit}.fit(cov_type='kernel', kernel='bartlett', bandwidth=4, debiased=True)"
    return Package("linearmodels", "python", "from linearmodels.iv import IV2SLS, IVLIML",
                   "zip(fit.params.index, fit.params, fit.std_errors, fit.pvalues)", calls, ("linearmodels",))


def _statsmodels() -> Package:
    ols = "smf.ols('lwage ~ educ + exper + black', data)"
    calls: dict[tuple[str, ...], str] = {("OLS", "classical"): f"{ols}.fit()"}
    for kind in ("HC1", "HC2", "HC3"):
        calls["OLS", kind] = f"{ols}.fit(cov_type='{kind}', use_t=True)"
    calls["OLS", CR1] = f"{ols}.fit(cov_type='cluster', cov_kwds={{'groups': data['age']}}, use_t=True)"
    calls["2SLS", "classical"] = "IV2SLS(data['lwage'], X, Z).fit()"
    start = ("import statsmodels.formula.api as smf\nfrom statsmodels.api import add_constant\n"
             "from statsmodels.sandbox.regression.gmm import IV2SLS\n"
             "X = add_constant(data[['educ', 'exper', 'black']])\nZ = add_constant(data[['exper', 'black', 'nearc4', 'nearc2']])")
    read = "zip(['Intercept', 'educ', 'exper', 'black'], fit.params, fit.bse, fit.pvalues)"
    return Package("statsmodels", "python", start, read, calls, ("statsmodels",))


def _pyfixest() -> Package:
    iv, ols = "'lwage ~ 1 + exper + black | educ ~ nearc4 + nearc2'", "'lwage ~ 1 + educ + exper + black'"
    kinds = {
        ("classical",): "vcov='iid'",
        ("HC0",): "vcov='hetero', ssc=pf.ssc(k_adj=False, G_adj=False)",
        ("HC1",): "vcov='hetero'",
        (CR0,): "vcov={'CRV1': 'age'}, ssc=pf.ssc(k_adj=False, G_adj=False)",
        (CR,): "vcov={'CRV1': 'age'}, ssc=pf.ssc(k_adj=False)",
        (CR1,): "vcov={'CRV1': 'age'}",
        (TWO_WAY,): "vcov={'CRV1': 'exper + region'}",
    }
    calls: dict[tuple[str, ...], str] = {}
    for kind, asked in kinds.items():
        calls["OLS", *kind] = f"pf.feols({ols}, data, {asked})"
        calls["2SLS", *kind] = f"pf.feols({iv}, data, {asked})"
        calls["weighted 2SLS", *kind] = f"pf.feols({iv}, data, {asked}, weights='weight')"
    calls["OLS", "HC2"] = f"pf.feols({ols}, data, vcov='HC2')"
    calls["OLS", "HC3"] = f"pf.feols({ols}, data, vcov='HC3')"
    return Package("pyfixest", "python", "import pyfixest as pf", "zip(fit.coef().index, fit.coef(), fit.se(), fit.pvalue())",
                   calls, ("pyfixest",))


def _ivmodels() -> Package:
    start = ("import numpy as np\nfrom ivmodels import KClass\nfrom ivmodels.tests import wald_test\n"
             "X, C, Z = data[['educ']], data[['exper', 'black']], data[['nearc4', 'nearc2']]\ny = data['lwage']\n"
             "def wald(kappa, **options):\n"
             "    statistic, p_value = wald_test(Z.to_numpy(), X.to_numpy(), y.to_numpy(), np.zeros(1), C=C.to_numpy(), estimator=kappa, **options)\n"
             "    return KClass(kappa).fit(X, y, Z=Z, C=C).coef_[0], statistic, p_value")
    calls: dict[tuple[str, ...], str] = {}
    fuller = "KClass('fuller(1)').fit(X, y, Z=Z, C=C).kappa_"
    for estimator, kappa in (("2SLS", "'tsls'"), ("LIML", "'liml'"), ("Fuller", fuller)):
        calls[estimator, "classical"] = f"wald({kappa})"
        calls[estimator, "HC1"] = f"wald({kappa}, robust=True)"
    read = "[('educ', fit[0], abs(fit[0]) / fit[1] ** 0.5, fit[2])]"
    note = "It reports Wald statistics; a standard error is |estimate| / √statistic. Only educ is read. Fuller's κ is given as a number: by name the test takes another κ than the fit."
    return Package("ivmodels", "python", start, read, calls, ("ivmodels",), note)


def _spreg() -> Package:
    start = ("from spreg import OLS, TSLS\ny, X = data[['lwage']].to_numpy(), data[['exper', 'black']].to_numpy()\n"
             "E, Q = data[['educ']].to_numpy(), data[['nearc4', 'nearc2']].to_numpy()\n"
             "A = data[['exper', 'black', 'educ']].to_numpy()")
    calls: dict[tuple[str, ...], str] = {
        ("OLS", "classical"): "OLS(y, A)",
        ("OLS", "HC1"): "OLS(y, A, robust='white')",
        ("2SLS", "classical", "t"): "TSLS(y, X, E, Q, sig2n_k=True)",
        ("2SLS", "classical", "z"): "TSLS(y, X, E, Q)",
        ("2SLS", "HC0"): "TSLS(y, X, E, Q, robust='white')",
        ("2SLS", "HC1"): "TSLS(y, X, E, Q, robust='white', sig2n_k=True)",
    }  # fmt: skip
    read = ("zip(['Intercept', 'exper', 'black', 'educ'], fit.betas[:, 0], fit.std_err, "
            "[p for _, p in (fit.z_stat if hasattr(fit, 'z_stat') else fit.t_stat)])")
    return Package("spreg", "python", start, read, calls, ("spreg",))


def _native() -> Package:
    calls: dict[tuple[str, ...], str] = {}
    for row in ROWS:
        estimator = "Fuller" if row.method == "fuller(1)" else row.group
        extras = f", weights='{row.weights}'" if row.weights else ""
        extras += f", inference='{row.inference}'" if row.inference != "t" else ""
        extras += f", method='{row.method}'" if row.method != "2sls" else ""
        calls[estimator, row.vcov, row.inference] = f"ivbridge.fit('{row.formula}', data, '{row.vcov}'{extras})"
    return Package("ivbridge", "python", "import ivbridge", "zip(fit.terms, fit.params, fit.bse, fit.pvalues)", calls,
                   ("linearmodels", "numpy", "scipy"))


def _estimatr() -> Package:
    def asked(head: str, weights: str = "") -> dict[str, str]:
        kinds = {kind: f"{head}, data{weights}, se_type = \"{kind}\")" for kind in ("classical", "HC0", "HC1", "HC2", "HC3")}
        kinds[CR0] = f"{head}, data{weights}, clusters = age, se_type = \"CR0\")"
        kinds[CR1] = f"{head}, data{weights}, clusters = age, se_type = \"stata\")"
        return kinds

    heads = {"OLS": (f"lm_robust({SLOPES}", ""), "2SLS": (f"iv_robust({FORMULA}", ""),
             "weighted 2SLS": (f"iv_robust({FORMULA}", ", weights = weight")}
    calls = {(estimator, kind): call for estimator, head in heads.items() for kind, call in asked(*head).items()}
    return Package("estimatr", "r", "library(estimatr)", "summary(fit)$coefficients[, 1:4]", calls, ("estimatr",))


def _systemfit() -> Package:
    inst = "~ exper + black + nearc4 + nearc2"
    calls: dict[tuple[str, ...], str] = {
        ("OLS", "classical"): f"systemfit({SLOPES}, \"OLS\", data = data)",
        ("2SLS", "classical", "t"): f"systemfit({SLOPES}, \"2SLS\", inst = {inst}, data = data)",
        ("2SLS", "classical", "z"): f"systemfit({SLOPES}, \"2SLS\", inst = {inst}, data = data, methodResidCov = \"noDfCor\")",
    }  # fmt: skip
    return Package("systemfit", "r", "library(systemfit)", "summary(fit)$eq[[1]]$coefficients", calls, ("systemfit",))


def _gmm() -> Package:
    start = f"library(gmm)\ntwo_stage <- tsls({SLOPES}, ~ exper + black + nearc4 + nearc2, data = data)"

    def summary(kind: str) -> str:
        return f"summary(two_stage, vcov = vcov(two_stage, type = {kind}))"

    hac = '"HAC", hacProp = list(kernel = "Bartlett", bw = 5, prewhite = {prewhite}, adjust = {adjust})'
    calls: dict[tuple[str, ...], str] = {
        ("2SLS", "classical"): summary('"Classical"'),
        ("2SLS", "HC0"): summary('"HC0"'),
        ("2SLS", "HC1"): summary('"HC1"'),
        ("2SLS", NW): summary(hac.format(prewhite="FALSE", adjust="FALSE")),
        ("2SLS", NWA): summary(hac.format(prewhite="FALSE", adjust="TRUE")),
    }  # fmt: skip
    return Package("gmm", "r", start, "fit$coefficients", calls, ("gmm",))


def _plm() -> Package:
    start = ("library(plm)\nlibrary(lmtest)\ndata$t <- ave(data$age, data$age, FUN = seq_along)\n"
             'panel <- pdata.frame(data, index = c("age", "t"))\n'
             f'ols <- plm({SLOPES}, panel, model = "pooling")\niv <- plm({FORMULA}, panel, model = "pooling")')
    calls: dict[tuple[str, ...], str] = {}
    for estimator, name in (("OLS", "ols"), ("2SLS", "iv")):
        calls[estimator, "classical"] = f"summary({name})$coefficients"
        for kind in ("HC0", "HC1", "HC2", "HC3"):
            calls[estimator, kind] = f"coeftest({name}, vcov. = vcovHC({name}, method = \"white1\", type = \"{kind}\"))"
        calls[estimator, CR0] = f"coeftest({name}, vcov. = vcovHC({name}, method = \"arellano\", type = \"HC0\"))"
        calls[estimator, CR1] = f"coeftest({name}, vcov. = vcovHC({name}, method = \"arellano\", type = \"sss\"))"
    return Package("plm", "r", start, "fit", calls, ("plm",))


def _sem() -> Package:
    head = f"tsls({SLOPES}, ~ exper + black + nearc4 + nearc2, data = data"
    calls: dict[tuple[str, ...], str] = {("2SLS", "classical"): f"{head})", ("weighted 2SLS", "classical"): f"{head}, weights = weight)"}
    return Package("sem", "r", "library(sem)", "summary(fit)$coefficients", calls, ("sem",))


def _survey() -> Package:
    start = ("library(AER)\nlibrary(survey)\nrows <- svydesign(ids = ~1, weights = ~1, data = data)\n"
             "ages <- svydesign(ids = ~age, weights = ~1, data = data)\n"
             "weighted <- svydesign(ids = ~1, weights = ~weight, data = data)\n"
             "both <- svydesign(ids = ~age, weights = ~weight, data = data)")
    calls: dict[tuple[str, ...], str] = {
        ("OLS", "HC1"): f"svyglm({SLOPES}, rows)", ("OLS", CR1): f"svyglm({SLOPES}, ages)",
        ("2SLS", "HC1"): f"svyivreg({FORMULA}, rows)", ("2SLS", CR): f"svyivreg({FORMULA}, ages)",
        ("weighted 2SLS", "HC1"): f"svyivreg({FORMULA}, weighted)", ("weighted 2SLS", CR): f"svyivreg({FORMULA}, both)",
    }  # fmt: skip
    read = "if (inherits(fit, \"svyivreg\")) cbind(coef(fit), SE(fit), NA, NA) else summary(fit)$coefficients"
    return Package("survey", "r", start, read, calls, ("survey",), "svyivreg's summary() shows other standard errors than SE(); SE() is read.")


def _club() -> Package:
    start = (f"library(AER)\nlibrary(clubSandwich)\nols <- lm({SLOPES}, data)\niv <- ivreg({FORMULA}, data = data)\n"
             f"weighted <- ivreg({FORMULA}, data = data, weights = weight)\nrow <- seq_len(nrow(data))")
    tests = {"t": "naive-t", "z": "z"}
    calls: dict[tuple[str, ...], str] = {}
    for estimator, name in (("OLS", "ols"), ("2SLS", "iv"), ("weighted 2SLS", "weighted")):
        for inference, test in tests.items():
            for vcov, kind, cluster in (("HC0", "CR0", "row"), ("HC2", "CR2", "row"), ("HC3", "CR3", "row"), ("HC1", "CR1S", "row"),
                                        (CR0, "CR0", "data$age"), (CR, "CR1", "data$age"), (CR1, "CR1S", "data$age")):
                calls[estimator, vcov, inference] = f"coef_test({name}, vcov = \"{kind}\", cluster = {cluster}, test = \"{test}\")"
    read = "`rownames<-`(as.matrix(fit[, c(\"beta\", \"SE\", \"tstat\", grep(\"^p_\", names(fit), value = TRUE))]), fit$Coef)"
    return Package("clubSandwich", "r", start, read, calls, ("clubSandwich", "AER"))


def _gretl() -> Package:
    iv = "tsls lwage const educ exper black ; const exper black nearc4 nearc2"
    ols = "ols lwage const educ exper black"
    calls: dict[tuple[str, ...], str] = {
        ("OLS", "classical"): ols, ("OLS", "HC1"): f"set hc_version 1\n{ols} --robust",
        ("OLS", "HC2"): f"set hc_version 2\n{ols} --robust", ("OLS", "HC3"): f"set hc_version 3\n{ols} --robust",
        ("OLS", CR1): f"{ols} --cluster=age",
        ("2SLS", "classical", "t"): iv, ("2SLS", "classical", "z"): f"{iv} --no-df-corr",
        ("2SLS", "HC0"): f"set hc_version 0\n{iv} --robust", ("2SLS", "HC1"): f"set hc_version 1\n{iv} --robust",
        ("2SLS", "HC2"): f"set hc_version 2\n{iv} --robust", ("2SLS", "HC3"): f"set hc_version 3\n{iv} --robust",
        ("2SLS", CR1): f"{iv} --cluster=age",
        ("2SLS", NW): f"setobs 1 1 --time-series\nset hac_lag 4\nset hac_kernel bartlett\n{iv} --robust",
        ("LIML", "classical"): f"{iv} --liml", ("LIML", "HC1"): f"set hc_version 1\n{iv} --liml --robust",
    }  # fmt: skip
    return Package("gretl", "gretl", "", "$coeff, $stderr", calls, ("gretl",), "$coeff and $stderr are read, no p-values.")


PACKAGES = (
    _native(), _linearmodels(), _statsmodels(), _pyfixest(), _ivmodels(), _spreg(), _estimatr(), _systemfit(), _gmm(),
    _plm(), _sem(), _survey(), _club(), _gretl(),
)  # fmt: skip
