"""One other program's nonlinear IV method, timed: run by iv_ml.py with the Python of an environment that has it.

    python iv_ml_peers.py PACKAGE METHOD FOLDER EPOCHS

PACKAGE is mliv or econml; FOLDER has train.csv, valid.csv and test.csv with the columns z0, …, x0, …, t0, y0, g0.
Writes one JSON line: seconds and processor seconds of a fit, and the mean squared error of the curve on the test rows.

- mliv 0.0.2 (2022): ``pip install mliv==0.0.2 torch scikit-learn==1.5.2 pandas``; later versions of scikit-learn
  predict one column in another shape. Its DeepIV is written for TensorFlow 1, its DualIV for NumPy 1.
- econml 0.15.1, the last one with DeepIV: ``pip install econml==0.15.1 tensorflow-cpu==2.15.1``, Python 3.11.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"
os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402


def mliv_run(method: str, folder: str, epochs: int) -> Any:
    """Seconds, processor seconds, and predictions of the test rows."""
    import torch
    from mliv import inference
    from mliv.utils import CausalDataset

    torch.set_num_threads(1)

    data = CausalDataset(folder + "/")
    model = getattr(inference, method)()
    own = {"device": "cpu", "verbose": 0, "epochs": epochs, "GPU": False, "resultDir": folder + "/", "num": 1000}
    known = {name: value for name, value in own.items() if name in model.config}
    start, cpu = time.perf_counter(), time.process_time()
    model.fit(data, config=model.config | known)
    spent = time.perf_counter() - start, time.process_time() - cpu
    with contextlib.suppress(TypeError):  # its DeepGMM calls a tensor here
        found = model.estimation(data.test)[1]
        return *spent, np.asarray(found.detach() if hasattr(found, "detach") else found)
    return *spent, np.asarray(model.predict(data.test))


def econml_run(method: str, folder: str, epochs: int) -> Any:
    """The same with econml's DeepIV: networks, dropout and penalties of its documentation, sizes as ours."""
    import keras
    import tensorflow as tf
    from econml.iv.nnet import DeepIV

    assert method == "DeepIV", method
    keras.backend.logsumexp = tf.reduce_logsumexp  # econml still calls it; keras took it away
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    train, test = (pd.read_csv(f"{folder}/{part}.csv") for part in ("train", "test"))
    rate = min(1000 / (1000 + len(train)), 0.5)

    def net(inputs: int, last: bool) -> Any:
        layers = [keras.layers.Dense(128, activation="relu", input_shape=(inputs,)), keras.layers.Dropout(rate)]
        for width in (64, 32):
            layers += [keras.layers.Dense(width, activation="relu"), keras.layers.Dropout(rate)]
        return keras.Sequential(layers + [keras.layers.Dense(1)] * last)

    def columns(frame: pd.DataFrame, kind: str) -> Any:
        return frame[[name for name in frame if name.startswith(kind)]].to_numpy()

    y, t, x, z = (columns(train, kind) for kind in "ytxz")
    start, cpu = time.perf_counter(), time.process_time()
    inputs = x.shape[1] + z.shape[1]
    first, second = net(inputs, last=False), net(x.shape[1] + 1, last=True)
    options = {"epochs": epochs, "batch_size": 100, "verbose": 0}
    model = DeepIV(
        n_components=3, m=lambda a, b: first(keras.layers.concatenate([a, b])),
        h=lambda a, b: second(keras.layers.concatenate([a, b])), n_samples=1, n_gradient_samples=1,
        first_stage_options=options, second_stage_options=options,
    )  # fmt: skip
    model.fit(Y=y, T=t, X=x, Z=z)
    spent = time.perf_counter() - start, time.process_time() - cpu
    return *spent, model.predict(columns(test, "t"), columns(test, "x"))


def main(package: str, method: str, folder: str, epochs: int) -> None:
    """Fit once to load what is loaded at a first call, then once more; what the package prints goes nowhere."""
    truth = pd.read_csv(Path(folder) / "test.csv")["g0"].to_numpy()
    fit = {"mliv": mliv_run, "econml": econml_run}[package]
    with contextlib.redirect_stdout(sys.stderr):
        fit(method, folder, 1)
        seconds, cpu, predicted = fit(method, folder, epochs)
    mse = float(np.mean((predicted.ravel() - truth) ** 2))
    print(json.dumps({"seconds": seconds, "cpu": cpu, "mse": mse}))


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]))
