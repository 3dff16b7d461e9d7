"""The shape of the code, measured: who imports whom, how large things are, what is public."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ivbridge

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "ivbridge"

#: Low to high: a module imports only from modules that stand before it.
LAYERS = " ".join(
    [
        # what everything may use
        "errors resources threads later clustering rfind records tables visible place journal progress crew",
        # the question
        "vcov vcov_text method lexer expr effects transforms frame magnitude canonical variables formula coding stata",
        "translate arrays spec absorb absorb.dummies",
        # the data, and the two together
        "unpack rfiles readers serial packing data tabular questions modelmatrix rank kept rows design",
        # the answer and its arithmetic
        "rwords rintegers rdistributions rweighted rrandom",
        "results refine linear degenerate kclass hac sandwich asked diagnostics weak_records weak_native",
        # the answer from blocks of rows
        "blocks blocks.small blocks.rows blocks.sums blocks.products blocks.factor",
        "blocks.regression blocks.kclass blocks.leverage blocks.scores",
        "blocks.correct blocks.meats blocks.digits blocks.solve",
        "blocks.residuals blocks.auxiliary blocks.answer blocks.dependent blocks.arrays",
        # fixed effects
        "absorb.codes absorb.graph absorb.normal absorb.schur absorb.iterated absorb.demeaner absorb.within absorb.dof",
        # thousands of replications at once
        "batch.records batch.data batch.factor batch.models batch.algebra batch.ordinary batch",
        # engines
        "engines engines.wire engines.times engines.transfer engines.plain engines.frames",
        "engines.r_gate engines.r_values engines.r_worker engines.rserial engines.rscript engines.limits engines.tasks",
        "engines.console engines.child engines.process",
        "processes engines.pool",
        "engines.memory engines.native engines.fast engines.postponed engines.grouping engines.quick",
        "engines.absorbed engines.careful engines.r_calls engines.r",
        "engines.session api weak_r weakiv",
        "engines.peers engines.peers.reported engines.peers.base engines.peers.linearmodels_plain",
        "engines.peers.estimatr engines.peers.gmm engines.peers.ivmodels engines.peers.pyfixest",
        "engines.peers.statsmodels engines.peers.systemfit",
        "engines.peers.fixest engines.peers.ivmodel engines.peers.ivreg engines.peers.ivreg2r",
        # the comparison
        "gaps given handshake verdicts vote_records agreement digits rounding",
        "explainer.catalogue explainer.records",
        "explainer.matrices explainer.rebuild explainer.worlds_rows explainer.worlds_storage explainer.worlds_coding",
        "explainer.worlds_columns explainer.worlds_weights explainer.worlds_roles explainer.worlds_estimators",
        "explainer.worlds explainer.merge explainer.reach",
        "explainer.altered explainer.clusters explainer.vcovs explainer.covariances explainer.inference",
        "explainer.tests_ explainer.observed explainer.bounds explainer.table explainer.rest explainer.search",
        "explainer.why explainer",
        "explainer.defaults explainer.typed explainer.numbers",
        "vote compare",
        # out of core and on a cluster
        "scale.pieces scale.cluster scale.sources scale.frames scale.terms scale.rowwise scale.codes scale.survey",
        "scale.recipe scale.plan scale.parquet scale.csvs scale.duck scale.tables scale.opening scale.memory",
        "scale.packed scale.resume scale.passes scale.fitting scale.sampling scale.totals scale.checking scale",
        # recorded answers
        "references_data references_export references_checks references_digits references_file references_replay",
        "references_find references engines.recorded references_verify",
        # versions of a package
        "sentinel sentinel.places sentinel.sources sentinel.drifted sentinel.asked sentinel.reasons sentinel.watch",
        "sentinel.worker",
        # any port
        "ports.limit ports.records ports.values ports.calls ports.r_side ports.differ ports.kinds ports.generators",
        "ports.rounding ports.judge ports.search ports.relations ports.code ports.store ports.report ports.checking",
        "ports",
        # LASSO selection
        "selection selection.rules selection.spec selection.design selection.records selection.engines",
        "selection.losses selection.cv selection.compressed selection.mirror selection.native selection.scikit",
        "selection.r selection.moments selection.distances selection.noise selection.stopping selection.fragility",
        "selection.check",
        # from a selection to an estimate
        "selection.question selection.derive selection.plugin selection.choose selection.crossfit selection.controls",
        "selection.steps selection.after selection.seeds selection.selected selection.select selection.checked",
        # Monte Carlo studies
        "simulate study_records study_formula study post_methods post charts post_charts",
        # nonlinear instrumental variables
        "iv_ml iv_ml.settings iv_ml.data iv_ml.criterion iv_ml.computing iv_ml.generated",
        "iv_ml.predictors iv_ml.predictors.feedforward iv_ml.predictors.polynomial iv_ml.predictors.kernel",
        "iv_ml.predictors.linear iv_ml.predictors.modal iv_ml.predictors.features iv_ml.predictors.scaled",
        "iv_ml.ridge iv_ml.kernels",
        "iv_ml.curves iv_ml.method iv_ml.networks iv_ml.training iv_ml.sides iv_ml.minimising",
        "iv_ml.regression iv_ml.regression.poly2sls iv_ml.regression.halves iv_ml.regression.kernel_iv",
        "iv_ml.regression.dual_iv iv_ml.regression.linear_2sls iv_ml.regression.dml_iv",
        "iv_ml.regression.mode_ensemble",
        "iv_ml.mixture_density iv_ml.regression.deep_iv iv_ml.regression.nn2sls iv_ml.regression.one_siv",
        "iv_ml.optimistic iv_ml.regression.agmm iv_ml.regression.deep_gmm iv_ml.regression.dfiv",
        "iv_ml.clusters iv_ml.matching iv_ml.mixtures iv_ml.mixture_regression iv_ml.mixture_gaussian",
        "iv_ml.representation iv_ml.group_number iv_ml.grouping iv_ml.doubts iv_ml.alternating",
        "iv_ml.generation iv_ml.generation.meta_km iv_ml.generation.meta_em iv_ml.trust",
        "iv_ml.generation.candidates iv_ml.generation.none_iv iv_ml.generation.allele_scores",
        "iv_ml.generation.mode_iv iv_ml.generation.decomposition iv_ml.generation.auto_iv",
        "iv_ml.estimators iv_ml.bands",
        "iv_ml.scenarios iv_ml.scenarios.rules iv_ml.scenarios.fusion iv_ml.scenarios.semisynthetic",
        "iv_ml.paper iv_ml.paper.parts iv_ml.paper.oracle iv_ml.paper.answering iv_ml.paper.running",
        "iv_ml.paper.cells iv_ml.paper.plans iv_ml.paper.reasons iv_ml.paper.verdicts iv_ml.paper.tables",
        "iv_ml.paper.figures iv_ml.paper.publishing",
        # encouragement designs
        "encouragement encouragement.options encouragement.records encouragement.users encouragement.moments",
        "encouragement.effects encouragement.balance encouragement.sums encouragement.pooled encouragement.choice",
        "encouragement.simulated encouragement.words encouragement.report encouragement.analysis",
        "encouragement.reading",
        # effects of a treatment
        "causal causal.question causal.records causal.method causal.propensity causal.overlap causal.crossfit",
        "causal.r_side causal.agreement causal.scenarios",
        "causal.methods causal.balance causal.few_clusters causal.least_squares causal.stacked causal.weights",
        "causal.methods.difference causal.methods.stratification causal.methods.regression causal.methods.lin",
        "causal.methods.ipw causal.methods.aipw",
        "causal.matched causal.matched_score causal.matching",
        "causal.methods.propensity_matching causal.methods.mahalanobis_matching causal.sensitivity",
        "causal.sensitivity.rosenbaum",
        "causal.arms causal.meta causal.methods.t_learner causal.methods.s_learner causal.methods.x_learner",
        "causal.methods.r_learner causal.methods.uplift causal.methods.causal_tree causal.methods.causal_forest",
        "causal.heterogeneity causal.heterogeneity.scores causal.heterogeneity.rate",
        "causal.heterogeneity.calibration causal.heterogeneity.policy causal.heterogeneity.uplift_curve",
        "causal.heterogeneity.gate",
        "causal.counterfactual causal.risk",
        "causal.dml causal.methods.plr causal.methods.irm causal.methods.pliv causal.methods.iivm causal.iv_question",
        "causal.methods.two_stage causal.two_step causal.forest_spread causal.coverage_cases causal.coverage",
        "causal.sensitivity.ovb causal.sensitivity.contour causal.sensitivity.evalue",
        "causal.refute causal.refute.protocol causal.refute.repeat causal.refute.placebo causal.refute.subset",
        "causal.refute.bootstrap causal.refute.negative_control causal.refute.hidden causal.refute.suite",
        "causal.refute.chart",
        # causal diagrams
        "diagrams.graph diagrams.text diagrams.paths diagrams.separators diagrams.identify diagrams.reasons",
        "diagrams.implications diagrams.second diagrams.layout diagrams.svg diagrams.report diagrams",
        # what people see
        "report.entry many instead report.cells report.code report.plot report.drawing report.view report.render",
        "report",
        "encouragement.chart encouragement.page",
        "diagrams.page advice",
        # mistakes in the user's own analysis
        "audit audit.records audit.catalogue audit.reading audit.nodes audit.vocabulary audit.scope audit.calls",
        "audit.tables audit.values audit.flow audit.models audit.view",
        "audit.checks audit.checks.scores audit.checks.simulated audit.checks.instruments audit.checks.learners",
        "audit.checks.effects audit.checks.differences audit.checks.habits audit.checks.outputs audit.code",
        "audit.duplicates audit.columns audit.roles audit.checking audit.page",
        # the page of one effect
        "causal.asked causal.analysis causal.report.words causal.report.plots causal.report.page causal.report.text",
        "causal.report",
        # the marketing build
        "marketing marketing.worlds marketing.records marketing.torch_linear marketing.first_stage marketing.checks",
        "marketing.forbidden marketing.exclusion marketing.encoder marketing.uplift marketing.service",
        "marketing.serving marketing.sample marketing.report marketing.words marketing.gates marketing.analysis",
        "marketing.plots marketing.page",
        # the notebook on causal inference
        "workbook workbook.printed workbook.faults workbook.summaries workbook.today workbook.mechanisms workbook.in_r",
        "workbook.rows workbook.corrected workbook.agreeing workbook.figures workbook.analysis",
        "certificates certificates.badge certificates.records certificates.issue certificates.verify",
        "setup_r doctor cli_text cli_check cli_select cli_encourage cli_post cli_options cli_experiments cli_drift",
        "cli_certify cli_marketing cli_causal cli_dag cli_advise cli_workbook",
        "cli_record cli_ports cli_explain cli_scale cli_audit cli_study cli",
        "pytest_agreement pytest_plugin",
    ]
).split()

TOP_LEVEL = {
    "pyproject.toml", "ivbridge", "r_scripts", "tests", "docs", "README.md", "LICENSE", "CHANGELOG.md",
    "CONTRIBUTING.md", "Makefile", "mkdocs.yml", "constraints.txt",
}  # fmt: skip

#: Lines of a module, a function and a class; arguments of a public function, `self` and `cls` not counted.
MODULE_LINES, FUNCTION_LINES, CLASS_LINES, ARGUMENTS = 400, 50, 200, 7


def name_of(path: Path) -> str:
    """``ivbridge/engines/r.py`` is ``engines.r``; the package itself is the empty name."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def imported_by(tree: ast.Module) -> Iterator[str]:
    """Names of everything that a module imports, at its top or inside functions, with ``from a import b`` as a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write imports absolutely"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def inside_the_package(tree: ast.Module) -> Iterator[str]:
    """Modules of ivbridge among the imports."""
    for imported in imported_by(tree):
        rest = imported.removeprefix("ivbridge").removeprefix(".")
        if imported.partition(".")[0] == "ivbridge":
            yield rest if rest in MODULES else rest.rpartition(".")[0]


def upward_imports(layers: list[str], trees: dict[str, ast.Module]) -> list[str]:
    """Imports of a module that stands later in the list, or not in it."""
    place = {name: i for i, name in enumerate(layers)}
    return [
        f"{name} imports {wanted}"
        for name, tree in trees.items()
        if name
        for wanted in inside_the_package(tree)
        if wanted and place.get(wanted, len(place)) >= place.get(name, -1)
    ]


def test_a_module_imports_only_from_lower_layers() -> None:
    assert upward_imports(LAYERS, TREES) == []


def test_the_layer_test_can_fail() -> None:
    upward = ast.parse("def f():\n    from ivbridge.engines.process import RWorker")
    assert upward_imports(LAYERS, {"vcov": upward}) == ["vcov imports engines.process"]


def test_every_module_has_its_place() -> None:
    assert sorted(LAYERS) == sorted(name for name in MODULES if name)


def test_only_the_r_worker_imports_rpy2() -> None:
    def loads(tree: ast.Module) -> bool:
        asked = (n.args[0] for n in ast.walk(tree) if isinstance(n, ast.Call) and n.args)
        loaded = (a.value for a in asked if isinstance(a, ast.Constant) and isinstance(a.value, str))
        return any(name.partition(".")[0] == "rpy2" for name in (*imported_by(tree), *(v for v in loaded if "." in v)))

    assert [name for name, tree in TREES.items() if loads(tree)] == ["engines.r_worker"]


def test_modules_functions_and_classes_stay_small() -> None:
    large = [
        f"{name}: {lines} lines"
        for name, path in MODULES.items()
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MODULE_LINES
    ]
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            limit = CLASS_LINES if isinstance(node, ast.ClassDef) else FUNCTION_LINES
            if isinstance(node, Function | ast.ClassDef) and (size := node.end_lineno - node.lineno + 1) > limit:  # type: ignore[operator]
                large.append(f"{name}.{node.name}: {size} lines")
    assert large == []


def public_functions(tree: ast.Module) -> Iterator[tuple[str, Function]]:
    """Functions of a module, and methods of its classes, whose names have no leading underscore."""
    for node in tree.body:
        inner = node.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_") else []
        for one in (node, *inner):
            stated = isinstance(one, Function) and ast.unparse(one.body[0]) == "..."  # a line of a Protocol
            if isinstance(one, Function) and not one.name.startswith("_") and not stated:
                yield f"{node.name}.{one.name}" if isinstance(node, ast.ClassDef) else one.name, one


def test_public_functions_have_docstrings_and_few_arguments() -> None:
    wrong = []
    for name, tree in TREES.items():
        for function, node in public_functions(tree):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            count = sum(a.arg not in {"self", "cls"} for a in arguments)
            if not ast.get_docstring(node):
                wrong.append(f"{name}.{function} has no docstring")
            if count > ARGUMENTS:
                wrong.append(f"{name}.{function} takes {count} arguments")
    assert wrong == []


def test_every_module_and_public_class_has_a_docstring() -> None:
    bare = [name or "ivbridge" for name, tree in TREES.items() if not ast.get_docstring(tree)]
    for name, tree in TREES.items():
        classes = (node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_"))
        bare += [f"{name}.{node.name}" for node in classes if not ast.get_docstring(node)]
    assert bare == []


def test_public_names_exist_once() -> None:
    """ruff (RUF022) keeps them sorted."""
    assert len(ivbridge.__all__) == len(set(ivbridge.__all__))
    missing = [name for name in ivbridge.__all__ if getattr(ivbridge, name, None) is None]
    assert missing == []
    assert set(ivbridge.__all__) <= set(dir(ivbridge))


@pytest.mark.parametrize("name", [n for n in MODULES if n])
def test_every_module_says_what_is_public(name: str) -> None:
    module = importlib.import_module(f"ivbridge.{name}")
    assert [public for public in module.__all__ if not hasattr(module, public)] == []


def python(code: str) -> str:
    """Output of a fresh interpreter that finds this ivbridge."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout


def test_importing_ivbridge_loads_nothing_heavy() -> None:
    loaded = set(python("import sys, ivbridge; print(*{m.partition('.')[0] for m in sys.modules})").split())
    heavy = {"numpy", "pandas", "scipy", "linearmodels", "rpy2", "matplotlib", "torch", "jinja2", "typer", "rich"}
    assert loaded & heavy == set()


def test_importing_ivbridge_takes_a_moment() -> None:
    """Processor time, which other work on the machine does not change; pandas alone takes five times this limit."""
    timed = "import time; t = time.process_time(); import ivbridge; print(time.process_time() - t)"
    assert float(python(timed)) < 0.1


def test_r_scripts_stay_small() -> None:
    scripts = sorted((ROOT / "r_scripts").glob("*.R"))
    assert scripts
    assert [s.name for s in scripts if len(s.read_text(encoding="utf-8").splitlines()) > MODULE_LINES] == []


def test_nothing_else_lies_at_the_top_level() -> None:
    if not (ROOT / ".git").exists():
        pytest.fail("run the tests in a checkout: what belongs to it is what git tracks")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    top = {path.partition("/")[0] for path in listed.split("\0") if path}
    assert {name for name in top if not name.startswith(".")} - TOP_LEVEL == set()
