"""From users to a report: every experiment by itself, the selection, the pooled answer, and the comparison with R."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
from scipy import sparse

from ivbridge.compare import crosscheck
from ivbridge.data import Dataset
from ivbridge.encouragement import words
from ivbridge.encouragement.balance import attrition, differences, holm, joint_balance, sample_ratio
from ivbridge.encouragement.choice import lasso_question, select, try_seeds
from ivbridge.encouragement.effects import contrasts, profile_of, shares_of
from ivbridge.encouragement.moments import arm_moments
from ivbridge.encouragement.options import EncourageOptions
from ivbridge.encouragement.pooled import Pooled, degenerate, pooled
from ivbridge.encouragement.records import Experiment, Selected
from ivbridge.encouragement.report import Checked, EncourageReport
from ivbridge.encouragement.sums import cross_products
from ivbridge.encouragement.users import Users, gather, with_sparse
from ivbridge.errors import DataError
from ivbridge.expr import quote_name
from ivbridge.records import NotApplicable, Test
from ivbridge.selection.check import crosscheck_lasso
from ivbridge.spec import IVSpec
from ivbridge.vcov_text import parse_vcov

__all__ = ["encourage"]


def encourage(
    data: pd.DataFrame | Dataset,
    outcome: str,
    behavior: str,
    experiments: str | Sequence[str] | sparse.sparray | sparse.spmatrix = "test_*",
    controls: str | Sequence[str] = (),
    options: EncourageOptions = EncourageOptions(),  # noqa: B008
) -> EncourageReport:
    """Analyse A/B tests as randomised encouragement: does the behavior that they encourage change the outcome?

    Parameters
    ----------
    data : DataFrame or Dataset, n rows
        One row a user.
    outcome : str
        Column of numbers, for example 0/1 for retained.
    behavior : str
        Column of numbers that the experiments encourage; compliers exist where it is 0/1.
    experiments : str, sequence of str, or sparse matrix (n, J), default ``"test_*"``
        Names of columns of 0/1 or true/false, missing where a user was not in the experiment; patterns such as
        ``"test_*"`` are allowed. Columns of pandas sparse dtype stay sparse, and the columns of a scipy sparse matrix
        are called ``test_1, test_2, …``.
    controls : str or sequence of str, optional
        Columns of numbers known before the experiments, by name or pattern; they are checked for balance, describe the
        compliers, and enter the pooled equation as exogenous regressors.
    options : EncourageOptions

    Returns
    -------
    EncourageReport

    Raises
    ------
    DataError
        If a column is missing or unsuitable, the behavior or the outcome does not vary, or an experiment has one arm.
    UnsupportedError
        If the rule chooses no single set of experiments.

    Notes
    -----
    Each experiment by itself is compared without controls: intention to treat as ``lm(outcome ~ test)``, the Wald
    ratio as ``ivreg(outcome ~ behavior | test)``, both with the asked vcov and t with n − 2 degrees of freedom.
    """
    frame = data.frame if isinstance(data, Dataset) else data
    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"data is a {type(data).__name__}, not a pandas DataFrame.", do="pass one row a user.")
    if sparse.issparse(experiments):
        frame, experiments = with_sparse(frame, experiments)
    return _report(gather(frame, outcome, behavior, experiments, controls), options)


def _report(users: Users, options: EncourageOptions) -> EncourageReport:
    options.check_names(users.experiments)
    found = single(users, options)
    selected, design = select(users, options)
    answer = _pooled(users, selected, options)
    seeds = try_seeds(users, selected, design, options)
    return EncourageReport(
        outcome=users.outcome,
        behavior=users.behavior,
        controls=users.controls,
        n=users.n,
        vcov=str(options.vcov),
        engine=options.engine,
        binary=users.binary,
        experiments=found,
        selected=selected,
        pooled=answer,
        seeds=seeds,
        checks=_checks(users, selected, answer, options) if options.check else (),
        notes=users.notes,
        sentences=words.sentences(users.outcome, users.behavior, found, selected, answer, binary=users.binary),
        warnings=words.warnings(found, selected, answer, seeds),
    )


def single(users: Users, options: EncourageOptions) -> tuple[Experiment, ...]:
    """Every experiment by itself.

    Parameters
    ----------
    users : Users
    options : EncourageOptions
    """
    moments = arm_moments(users, profile=users.binary and bool(users.controls))
    found = contrasts(moments, parse_vcov(options.vcov))
    rows = []
    for j, name in enumerate(users.experiments):
        sizes = int(moments.size(0)[j]), int(moments.size(1)[j])
        designed = options.share_of(name)
        one = Experiment(
            name=name,
            users=sum(sizes),
            treated=sizes[1],
            missing=users.n - sum(sizes),
            designed=designed,
            sample_ratio=sample_ratio(sizes[1], sum(sizes), designed),
            sample_ratio_holm=float("nan"),
            attrition=attrition(sizes, (int(users.lost[0, j]), int(users.lost[1, j]))),
            attrition_holm=float("nan"),
            balance=joint_balance(users, moments, j),
            balance_holm=float("nan"),
            differences=differences(users, moments, j),
            control_outcome=float(moments.mean(0, "y")[j]) + moments.means["y"],
            control_behavior=float(moments.mean(0, "x")[j]) + moments.means["x"],
            itt=found.itt(j),
            first_stage=found.first_stage(j),
            weak=found.weak(j),
            wald=found.wald(j),
            anderson_rubin=found.anderson_rubin(j),
            shares=shares_of(users, moments, found, j),
            profile=profile_of(users, moments, found, j),
        )
        rows.append(one)
    return _corrected(rows)


def _corrected(rows: Sequence[Experiment]) -> tuple[Experiment, ...]:
    groups = ([one.sample_ratio for one in rows], [one.attrition for one in rows], [one.balance for one in rows])
    corrected = (holm([test.p_value if isinstance(test, Test) else float("nan") for test in group]) for group in groups)
    full = []
    for one, ratio, lost, balance in zip(rows, *corrected, strict=True):
        one = replace(one, sample_ratio_holm=float(ratio), attrition_holm=float(lost), balance_holm=float(balance))
        full.append(replace(one, warnings=words.experiment_warnings(one)))
    return tuple(full)


def _pooled(users: Users, selected: Selected, options: EncourageOptions) -> Pooled | NotApplicable:
    if not selected.experiments:
        return NotApplicable(
            "Pooled estimate",
            f"the rule {selected.rule} selects none of the {selected.candidates} experiments, because none moves "
            f"{users.behavior} enough",
        )
    cross = cross_products(users, selected.experiments)
    if reason := degenerate(cross):
        return NotApplicable("Pooled estimate", reason)
    return pooled(cross, parse_vcov(options.vcov))


def _checks(
    users: Users, selected: Selected, answer: Pooled | NotApplicable, options: EncourageOptions
) -> tuple[Checked, ...]:
    """R and Python on the LASSO path with its cross-validation, and on the pooled estimate."""
    found = []
    if len(users.experiments) > 1:
        lasso = crosscheck_lasso(*lasso_question(users, options))
        found.append(Checked("LASSO", lasso.verdict, lasso.reason))
    if selected.experiments and isinstance(answer, Pooled):
        marks = [mark for mark, members in users.indicators.items() if set(members) & set(selected.experiments)]
        spec = IVSpec(
            quote_name(users.outcome), tuple(map(quote_name, (*users.controls, *marks))), (quote_name(users.behavior),),
            tuple(map(quote_name, selected.experiments)),
        )  # fmt: skip
        agreement = crosscheck(spec, users.frame(), vcovs=[options.vcov])
        found.append(Checked("pooled estimate", agreement.verdict, agreement.reason))
    return tuple(found)
