"""pytest plugin: tests that say "my numbers are R's", with R or from recorded answers.

Loaded by pytest through its entry point; what it needs is imported when a test uses it. The fixture ``iv_agreement`` is
an :class:`ivbridge.pytest_agreement.IVAgreement`.

Options of the command line, and of pytest's configuration file under the same names with an underscore:

``--ivref=replay|live|record|auto``
    Where R's answers come from. ``replay`` (default): recorded ones. ``live``: R. ``record``: R, and its answers are
    written. ``auto``: recorded ones, and R where there is none; a stale one is never replaced silently.
``--ivref-strict``
    A test whose answer was not recorded, or that needs an R that is not there, fails instead of being skipped.
``ivref_folder`` (configuration only)
    Where the references are: a folder below that of the test file, ``ivref`` by default.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

if TYPE_CHECKING:
    from ivbridge.pytest_agreement import IVAgreement

__all__ = [
    "MODES",
    "iv_agreement",
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_pyfunc_call",
    "pytest_report_header",
    "pytest_terminal_summary",
]

MODES = ("replay", "live", "record", "auto")
FIXTURE = "iv_agreement"
MARKER = "ivref"
_SIGNATURE = "ivref(question, data, vcovs, **options): what the fixture iv_agreement of this test asks R"

_Reporter: TypeAlias = Any  # pytest's terminal reporter is not public


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, as in the docstring of this module."""
    group = parser.getgroup("ivbridge", "agreement with R (ivbridge)")
    group.addoption("--ivref", choices=MODES, default=None, help="Where R's answers come from. [default: replay]")
    group.addoption(
        "--ivref-strict", action="store_true", default=None,
        help="Fail where an answer was not recorded or R is missing, instead of skipping.",
    )  # fmt: skip
    parser.addini("ivref", "replay, live, record or auto: where R's answers come from", default="replay")
    parser.addini("ivref_strict", "fail where an answer of R is missing, instead of skipping", "bool", default=False)
    parser.addini("ivref_folder", "folder of recorded answers, below that of the test file", default="ivref")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker and check the mode."""
    config.addinivalue_line("markers", _SIGNATURE)
    if (mode := config.getini("ivref")) not in MODES:
        raise pytest.UsageError(f"ivref = {mode}: this is none of {', '.join(MODES)}")


def _mode(config: pytest.Config) -> str:
    return str(config.getoption("ivref") or config.getini("ivref"))


def _strict(config: pytest.Config) -> bool:
    return bool(config.getoption("ivref_strict") or config.getini("ivref_strict"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test with the fixture has the marker, so that ``-m ivref`` finds it."""
    for item in items:
        if FIXTURE in getattr(item, "fixturenames", ()) and item.get_closest_marker(MARKER) is None:
            item.add_marker(MARKER)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """A test that passes although it compared nothing fails."""
    result = yield
    found: Any = pyfuncitem.funcargs.get(FIXTURE)
    marked = any(mark.name == MARKER for mark in pyfuncitem.own_markers)
    if found is None and marked:
        pytest.fail(f"{pyfuncitem.name} is marked {MARKER}, but does not use the fixture {FIXTURE}.", pytrace=False)
    if found is not None and not found.asked:
        pytest.fail(f"{pyfuncitem.name} has the fixture {FIXTURE}, but never called it.", pytrace=False)
    return result


@pytest.fixture
def iv_agreement(request: pytest.FixtureRequest) -> IVAgreement:
    """Ask R, or look up what it answered, and assert that another answer agrees."""
    from ivbridge.pytest_agreement import IVAgreement

    config = request.config
    folder = request.path.parent / config.getini("ivref_folder")
    return IVAgreement(request.node, _mode(config), folder, missing_fails=_strict(config))


def pytest_report_header(config: pytest.Config) -> str | None:
    """The mode, where it is not what pytest would do anyway."""
    mode, strict = _mode(config), _strict(config)
    return f"ivref: {mode}{', strict' * strict}" if strict or mode != "replay" else None


def pytest_terminal_summary(terminalreporter: _Reporter) -> None:
    """What was compared in all tests, and which references were written."""
    reports = [report for category in terminalreporter.stats.values() for report in category]
    found = [
        value
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if name == MARKER
    ]
    compared = [one for one in found if one["numbers"]]
    recorded = sorted({one["recorded"] for one in found if one["recorded"]})
    if compared:
        digits = min(one["digits"] for one in compared)
        numbers = sum(one["numbers"] for one in compared)
        terminalreporter.write_line(
            f"ivref: {len(compared)} comparison{'s' * (len(compared) != 1)} with R, {numbers} numbers, "
            f"{digits:.1f} digits or more"
        )
    for path in recorded:
        terminalreporter.write_line(f"ivref: recorded {path}")
