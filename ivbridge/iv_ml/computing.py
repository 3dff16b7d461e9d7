"""How torch computes here: with one thread, deterministic kernels, and the precision and device asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ivbridge.errors import MissingExtraError, UnsupportedError
from ivbridge.records import FloatArray

if TYPE_CHECKING:
    import torch

__all__ = ["Computing", "Streams", "deterministic", "torch_module"]


def torch_module() -> Any:
    """The package torch.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError(
            f"Neural IV methods need PyTorch: {error}.",
            available="poly2sls, kernel_iv, dual_iv and linear_2sls do without it",
            do='pip install "ivbridge[torch]"; on Linux without a GPU, install torch from '
            "https://download.pytorch.org/whl/cpu first",
        ) from error
    return torch


@dataclass(frozen=True, slots=True)
class Computing:
    """Where and how exactly a network is trained.

    Parameters
    ----------
    precision : {"float32", "float64"}, default "float32"
    device : str, default "cpu"
        "cpu", "cuda" or "cuda:1"; random numbers are drawn on the CPU in either case, so that they are the same ones.

    Raises
    ------
    UnsupportedError
        If there is no such precision or device here.
    """

    precision: Literal["float32", "float64"] = "float32"
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.precision not in ("float32", "float64"):
            raise UnsupportedError(f"precision={self.precision!r} was asked.", available="float32, float64")

    def tensor(self, arrays: Sequence[FloatArray]) -> torch.Tensor:
        """Arrays of one shape as one tensor (B, …)."""
        torch = torch_module()
        self.check()
        return torch.as_tensor(np.stack(arrays), dtype=getattr(torch, self.precision)).to(self.device)

    def check(self) -> None:
        """Raise `UnsupportedError` if the device is not there."""
        torch = torch_module()
        there = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if str(self.device) not in ("cpu", *(("cuda", *(f"cuda:{i}" for i in range(there))) if there else ())):
            found = f"cpu, cuda, cuda:0 … cuda:{there - 1}" if there else "cpu; torch finds no CUDA here"
            raise UnsupportedError(f"device={str(self.device)!r} was asked.", available=found)


class Streams:
    """Independent random numbers for B networks that are trained together: member b sees what it would see alone.

    Parameters
    ----------
    seeds : sequence of int
        One for each member.
    computing : Computing

    Raises
    ------
    UnsupportedError
        If the device is not there.
    """

    def __init__(self, seeds: Sequence[int], computing: Computing) -> None:
        torch = torch_module()
        computing.check()
        self.computing = computing
        self._generators = [torch.Generator().manual_seed(seed % 2**63) for seed in seeds]
        self._dtype = getattr(torch, computing.precision)

    def __len__(self) -> int:
        return len(self._generators)

    def uniform(self, *shape: int) -> torch.Tensor:
        """(B, *shape) numbers from U(0, 1)."""
        return self._stacked("rand", shape)

    def normal(self, *shape: int) -> torch.Tensor:
        """(B, *shape) numbers from N(0, 1)."""
        return self._stacked("randn", shape)

    def orders(self, n: int) -> torch.Tensor:
        """(B, n) permutations of 0 … n-1."""
        torch = torch_module()
        drawn = [torch.randperm(n, generator=g) for g in self._generators]
        return torch.stack(drawn).to(self.computing.device)

    def integers(self, high: int, *shape: int) -> torch.Tensor:
        """(B, *shape) integers, 0 … high-1."""
        torch = torch_module()
        drawn = [torch.randint(high, shape, generator=g) for g in self._generators]
        return torch.stack(drawn).to(self.computing.device)

    def _stacked(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        torch = torch_module()
        draw, found = getattr(torch, name), torch.empty((len(self), *shape), dtype=self._dtype)
        for place, generator in zip(found, self._generators, strict=True):
            draw(shape, generator=generator, out=place)
        return found.to(self.computing.device)


@contextmanager
def deterministic() -> Iterator[None]:
    """One thread and deterministic kernels within the block; as before after it.

    Networks of these sizes gain nothing from a second thread, and with one the numbers do not depend on the machine's
    number of processors.
    """
    torch = torch_module()
    threads, strict = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it torch refuses products of matrices
    torch.set_num_threads(1)
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms does the same and loads a compiler, 2 s
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(strict)
        torch.set_num_threads(threads)
