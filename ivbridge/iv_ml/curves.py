"""A fitted curve f(t, x): what every method here returns."""

from __future__ import annotations

import io
import json
import math
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ivbridge.errors import DataError
from ivbridge.iv_ml.data import matrix, vector
from ivbridge.iv_ml.predictors import Predictor, restored
from ivbridge.place import check_folder, replace_file
from ivbridge.records import FloatArray, Provenance

__all__ = ["Curve"]

_FORMAT = "ivbridge curve 1"
#: What a file that is something else, or damaged, can raise while it is read.
_NO_CURVE = (
    AttributeError, EOFError, IndexError, KeyError, MemoryError, RuntimeError, SyntaxError, TypeError, ValueError,
    tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """E[Y | do(T = t), X = x], up to what the method cannot know, as one method learnt it from one data set.

    Attributes
    ----------
    method : str
        Name, as in :data:`ivbridge.iv_ml.METHODS`.
    settings : mapping
        Its hyper-parameters.
    seed : int
    predictor : Predictor
    covariates : int
        Columns of x.
    history : DataFrame
        One row for each look at the training: ``stage``, ``epoch``, ``loss``, and ``criterion``, the value on the
        validation split (NaN where there is none). Empty for closed forms.
    notes : tuple of str
        What a reader should know: a ridge at the edge of its grid, an early stop.
    data_sha256 : str
    provenance : Provenance
    """

    method: str
    settings: Mapping[str, Any]
    seed: int
    predictor: Predictor
    covariates: int
    history: pd.DataFrame = field(default_factory=pd.DataFrame)
    notes: tuple[str, ...] = ()
    data_sha256: str = ""
    provenance: Provenance = field(default_factory=lambda: Provenance("iv_ml"))

    def predict(self, t: npt.ArrayLike, x: npt.ArrayLike | None = None) -> FloatArray:
        """f(t, x), (n,).

        Parameters
        ----------
        t : (n,) array or number
            A number stands for the same treatment in every row of x.
        x : (n, m) array, optional
            Leave it out where the curve has no covariates.

        Raises
        ------
        DataError
            If a value is not finite, or shapes do not fit the curve.
        """
        single = np.isscalar(t) or getattr(t, "ndim", 1) == 0
        treatments = vector(np.reshape(np.asarray(t), 1) if single else t, "t")
        given = np.empty((len(treatments), 0)) if x is None else matrix(x, "x")
        if given.shape[1] != self.covariates:
            raise DataError(
                f"x has {given.shape[1]} columns.",
                available=f"{self.covariates}, as when it was learnt",
            )
        if single:
            treatments = np.full(len(given), treatments[0])
        if len(treatments) != len(given):
            raise DataError(f"t has {len(treatments)} rows and x has {len(given)}.", do="give as many of both.")
        return self.predictor(treatments, given)

    def effect(self, t1: npt.ArrayLike, t0: npt.ArrayLike, x: npt.ArrayLike | None = None) -> FloatArray:
        """f(t1, x) - f(t0, x), (n,): what changing the treatment from t0 to t1 does, in units of Y.

        Constants that a method cannot learn cancel here. Arguments and errors as for :meth:`predict`.
        """
        after, before = self.predict(t1, x), self.predict(t0, x)
        if len(after) != len(before) and 1 not in (len(after), len(before)):
            raise DataError(f"t1 has {len(after)} values and t0 has {len(before)}.", do="give as many of both.")
        return after - before

    def save(self, path: str | Path) -> None:
        """Write everything into one ``.npz`` file, which holds numbers and text and no program.

        Raises
        ------
        DataError
            If nothing can be written there.
        """
        check_folder(path)
        about = {
            "format": _FORMAT, "method": self.method, "settings": dict(self.settings), "seed": self.seed,
            "kind": self.predictor.kind, "covariates": self.covariates, "notes": list(self.notes),
            "data_sha256": self.data_sha256, "provenance": self.provenance.as_dict(),
            "history": self.history.to_dict(orient="list"),
        }  # fmt: skip
        parts = {f"curve/{name}": part for name, part in self.predictor.parts().items()}
        content = io.BytesIO()
        np.savez_compressed(content, about=np.array(json.dumps(about, default=_plain)), **parts)  # type: ignore[arg-type]
        replace_file(path, content.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> Curve:
        """Read a curve that :meth:`save` wrote.

        Raises
        ------
        DataError
            If there is no such file, or it is no curve.
        """
        try:
            with Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                parts = {name: file[name] for name in file.files}
            if strange := [name for name, part in parts.items() if part.dtype.kind not in "biufU"]:
                raise ValueError(f"{strange[0][:40]!r} holds neither numbers nor text")
            about = json.loads(str(parts.pop("about")))
            if about["format"] != _FORMAT:
                raise ValueError(f"its format is {str(about['format'])[:40]!r}, not {_FORMAT!r}")
            found = cls._restored(about, parts)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
        except _NO_CURVE as error:
            said = str(error).rstrip(".")
            raise DataError(f"{path} is no saved curve: {said}.", do="give a file that Curve.save wrote.") from None
        return found

    @classmethod
    def _restored(cls, about: dict[str, Any], parts: Mapping[str, npt.NDArray[Any]]) -> Curve:
        history = pd.DataFrame(about["history"])
        inner = {name.removeprefix("curve/"): part for name, part in parts.items()}
        calls = tuple(about["provenance"].pop("calls"))
        found = cls(
            about["method"], about["settings"], int(about["seed"]), restored(str(about["kind"]), inner),
            int(about["covariates"]), history, tuple(about["notes"]), about["data_sha256"],
            Provenance(**about["provenance"], calls=calls),
        )  # fmt: skip
        # arrays that do not fit each other show here
        with np.errstate(all="ignore"):
            value = found.predict(np.zeros(2), np.zeros((2, found.covariates)))
        if not np.isfinite(value).all():
            raise ValueError("its numbers make no curve")
        return found

    def __repr__(self) -> str:
        last = self.history["criterion"].min() if "criterion" in self.history else math.nan
        judged = f", criterion {last:.3g}" if math.isfinite(last) else ""
        return f"Curve({self.method}, seed {self.seed}, {self.covariates} covariates{judged})"


def _plain(value: Any) -> Any:
    """NumPy's numbers among the settings."""
    if isinstance(value, np.generic):
        return value.item()
    raise DataError(f"A setting of the type {type(value).__name__} cannot be written: {value!r}.")
