"""What the fixture ``iv_agreement`` of the pytest plugin does."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Unpack

import pandas as pd
import pytest

from ivbridge.agreement import Agreement
from ivbridge.api import design_for, fit
from ivbridge.compare import Changes, agree, crosscheck, default_vcovs
from ivbridge.data import Dataset, read
from ivbridge.errors import (
    DisagreementError,
    EditedReferenceError,
    ReferenceNotFoundError,
    RNotAvailableError,
    StaleReferenceError,
)
from ivbridge.given import Numbers, given
from ivbridge.references import find_reference, record, references_from
from ivbridge.results import Estimate
from ivbridge.spec import IVSpec
from ivbridge.vcov import Vcov
from ivbridge.vcov_text import parse_vcov

__all__ = ["IVAgreement"]

Candidate = str | Estimate | Numbers


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """One question to R, complete."""

    question: IVSpec | str
    data: pd.DataFrame | Dataset
    vcovs: Sequence[str | Vcov] | None
    changes: Any

    @property
    def vcov(self) -> str | Vcov:
        """The only one."""
        if self.vcovs is None or len(self.vcovs) != 1:
            count = "no vcov" if self.vcovs is None else f"{len(self.vcovs)} vcovs"
            pytest.fail(f"iv_agreement got {count}; an estimate or a set of numbers has exactly one.", pytrace=False)
        return self.vcovs[0]

    def fit(self, engine: str) -> Estimate:
        """One engine's answer under the only vcov."""
        return fit(self.question, self.data, self.vcov, engine, **self.changes)

    def compare(self, engine: str, candidate: Candidate) -> Agreement:
        """The candidate against the engine that has R's answers."""
        if isinstance(candidate, str):
            return crosscheck(self.question, self.data, self.vcovs, (engine, candidate), **self.changes)
        reference = self.fit(engine)
        other = candidate if isinstance(candidate, Estimate) else given(self.fit("native"), candidate)
        return Agreement(reference.spec, (agree(reference, other),))


class IVAgreement:
    """Compares an answer with R's, within one test; the fixture makes it.

    Parameters
    ----------
    node : pytest.Item
        The test.
    mode : {"replay", "live", "record", "auto"}
    folder : Path
        Where this test's references are.
    missing_fails : bool
        Whether a missing answer fails the test; otherwise it is skipped.

    Attributes
    ----------
    asked : int
        Comparisons and references that the test asked for.
    """

    def __init__(self, node: Any, mode: str, folder: Path, *, missing_fails: bool) -> None:
        self.asked = 0
        self._node, self._mode, self._folder, self._missing_fails = node, mode, folder, missing_fails
        marker = node.get_closest_marker("ivref")
        self._marked = {} if marker is None else _options(*marker.args, **marker.kwargs)

    def __call__(
        self,
        question: IVSpec | str | None = None,
        data: pd.DataFrame | Dataset | str | None = None,
        vcovs: str | Vcov | Sequence[str | Vcov] | None = None,
        *,
        candidate: Candidate | None = None,
        strict: bool | None = None,
        **changes: Unpack[Changes],
    ) -> Agreement:
        """Assert that an answer agrees with R's up to rounding; the marker ``ivref`` says what is not given.

        Parameters
        ----------
        question : IVSpec or str
        data : DataFrame, Dataset or str
            A bundled name or a path, relative to the test file.
        vcovs : str, Vcov or sequence of these, optional
            Default: as for :func:`ivbridge.crosscheck`. An estimate has its own, and numbers need exactly one.
        candidate : str, Estimate or mapping, default "native"
            Who is compared with R: an engine's name, an estimate, or numbers (:func:`ivbridge.given.given`).
        strict : bool, default False
            Fail also if anything that has a value was not compared.
        weights, inference, method : optional
            As for :func:`ivbridge.fit`.

        Returns
        -------
        Agreement

        Raises
        ------
        DisagreementError
            An AssertionError with the verdict, the reason and the gaps.
        """
        __tracebackhide__ = True
        options = self._completed(question=question, data=data, vcovs=vcovs, candidate=candidate, strict=strict)
        candidate, strict = options.pop("candidate", "native"), options.pop("strict", False)
        if isinstance(candidate, Estimate):
            options["vcovs"] = [candidate.spec.vcov]
        asked = self._asked(options, changes)
        with self._missing(), references_from(self._folder):
            found = asked.compare(self._engine(asked), candidate)
        self._note(verdict=found.verdict, digits=round(found.digits, 1), numbers=len(found.gaps))
        try:
            found.assert_ok(strict=strict)
        except DisagreementError as error:
            raise DisagreementError(f"{error.message}\n  {self._source(found)}\n  Do this: {error.do}") from None
        return found

    def reference(
        self,
        question: IVSpec | str | None = None,
        data: pd.DataFrame | Dataset | str | None = None,
        vcov: str | Vcov | None = None,
        **changes: Unpack[Changes],
    ) -> Estimate:
        """R's answer, for assertions of one's own.

        Parameters
        ----------
        question, data, vcov, weights, inference, method
            As for a call of the fixture.

        Returns
        -------
        Estimate
        """
        __tracebackhide__ = True
        asked = self._asked(self._completed(question=question, data=data, vcovs=vcov), changes)
        with self._missing(), references_from(self._folder):
            return asked.fit(self._engine(asked))

    def _completed(self, **now: Any) -> dict[str, Any]:
        """What the marker says, and what the call says instead."""
        self.asked += 1
        return {**self._marked, **{name: value for name, value in now.items() if value is not None}}

    def _asked(self, options: dict[str, Any], changes: Mapping[str, Any]) -> _Asked:
        for name in ("question", "data"):
            if name not in options:
                pytest.fail(f"iv_agreement got no {name}, and no marker ivref names one.", pytrace=False)
        data, vcovs = options["data"], options.get("vcovs")
        if isinstance(data, str):
            beside = self._node.path.parent / data
            data = read(os.path.relpath(beside) if beside.is_file() else data)
        vcovs = [vcovs] if isinstance(vcovs, str | Vcov) else vcovs
        marked = {name: options[name] for name in Changes.__annotations__ if name in options}
        return _Asked(options["question"], data, vcovs, {**marked, **changes})

    def _engine(self, asked: _Asked) -> str:
        """The engine that has R's answers; writes them first where the mode asks for that."""
        if self._mode == "live":
            return "r"
        if self._mode == "record" or (self._mode == "auto" and _is_missing(asked)):
            place = Path(os.path.relpath(self._path()))  # relative, as all paths here: the file tells how it was made
            record(asked.question, asked.data, asked.vcovs, place, **asked.changes)
            self._note(recorded=place.as_posix())
        return "recorded"

    def _path(self) -> Path:
        """One file a test and call, so that tests that run at the same time never write the same one."""
        words = re.sub(r"[^\w.-]+", "-", f"{self._node.path.stem}-{self._node.name}", flags=re.ASCII)[:80].strip("-")
        short = hashlib.sha256(self._node.nodeid.encode()).hexdigest()[:8]
        return self._folder / f"{words}-{short}{f'-{self.asked}' * (self.asked > 1)}.json"

    @contextlib.contextmanager
    def _missing(self) -> Iterator[None]:
        """What is missing skips the test, or fails it; what is stale or edited always fails it."""
        __tracebackhide__ = True
        again = f"pytest {shlex.quote(self._node.nodeid)} --ivref=record"
        try:
            yield
        except ReferenceNotFoundError as error:
            self._stop(f"{error.message} Do this where R is: {again}")
        except RNotAvailableError as error:
            self._stop(str(error), fails=self._mode == "record")
        except (StaleReferenceError, EditedReferenceError) as error:
            pytest.fail(f"{error} Or: {again}", pytrace=False)

    def _stop(self, text: str, *, fails: bool = False) -> NoReturn:
        __tracebackhide__ = True
        if fails or self._missing_fails:
            pytest.fail(text, pytrace=False)
        pytest.skip(text)

    def _note(self, **values: Any) -> None:
        """For the lines at the end of the session; travels from the workers of pytest-xdist, too."""
        nothing = {"verdict": "", "digits": 0.0, "numbers": 0, "recorded": ""}
        self._node.user_properties.append(("ivref", {**nothing, **values}))

    def _source(self, found: Agreement) -> str:
        made = found.provenance[:1]
        versions = [f"{one.engine}: {', '.join(map(' '.join, one.versions.items()))}; " for one in made]
        return f"{''.join(versions)}--ivref={self._mode}"


def _options(question: Any = None, data: Any = None, vcovs: Any = None, **options: Any) -> dict[str, Any]:
    """The arguments of the marker by name."""
    known = {"candidate", "strict", *Changes.__annotations__}
    if unknown := sorted(set(options) - known):
        text = (
            f"The marker ivref has no option {unknown[0]!r}; it has question, data, vcovs, {', '.join(sorted(known))}."
        )
        pytest.fail(text, pytrace=False)
    named = {"question": question, "data": data, "vcovs": vcovs, **options}
    return {name: value for name, value in named.items() if value is not None}


def _is_missing(asked: _Asked) -> bool:
    """Whether an answer was not recorded; a stale one was."""
    design = design_for(asked.question, asked.data, asked.vcovs or (None,), **asked.changes)
    for vcov in asked.vcovs or default_vcovs(design.spec.method):
        try:
            find_reference(dataclasses.replace(design, spec=dataclasses.replace(design.spec, vcov=parse_vcov(vcov))))
        except ReferenceNotFoundError:
            return True
    return False
