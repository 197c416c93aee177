"""What no network is needed for: linear answers to the Maxwell datasets, and to any other regression."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from hornlib.data.loading import Split, Splits
from hornlib.data.maxwell.problem import Array
from hornlib.errors import DataError

__all__ = ["STRENGTHS", "Baseline", "linear_regression", "ridge_regression", "tikhonov_inverse"]

STRENGTHS: tuple[float, ...] = tuple(10 ** (half / 2) for half in range(-24, 9))
"""Strengths of regularisation tried, beside inputs of standard deviation 1."""

Predict = Callable[[Array], Array]


class Baseline(NamedTuple):
    """How well a linear answer does.

    Attributes:
        strength: of the regularisation, chosen on the validation part; 0 where there is none.
        validation, test: relative L2 error over all examples of the part, as the metric `relative_l2`; NaN for a part
            without examples.
    """

    strength: float
    validation: float
    test: float


def linear_regression(splits: Splits) -> Baseline:
    """Return the least-squares fit t = W x + b of the training part."""
    from sklearn.linear_model import LinearRegression

    predict = LinearRegression().fit(*_numpy(splits.train)).predict
    return Baseline(0.0, _error(predict, splits.validation), _error(predict, splits.test))


def ridge_regression(splits: Splits, strengths: Sequence[float] = STRENGTHS) -> Baseline:
    """Return the fit whose weights Tikhonov regularises, of the strength with the least validation error.

    min sum_n ||W x_n + b - t_n||^2 + lambda N ||W||^2, N training examples.
    """
    from sklearn.linear_model import Ridge

    inputs, targets = _numpy(splits.train)

    def fit(strength: float) -> Predict:
        predict: Predict = Ridge(alpha=strength * len(inputs)).fit(inputs, targets).predict
        return predict

    return _best(fit, splits, strengths)


def tikhonov_inverse(splits: Splits, strengths: Sequence[float] = STRENGTHS) -> Baseline:
    """Return Tikhonov's regularised inverse of the forward map, made linear.

    t = argmin ||F t + b - x||^2 + lambda ||F||^2 ||t||^2, the measurements x taken as F t + b, F and b by least squares
    from the training part, ||F|| the spectral norm; lambda has the least validation error. Targets must be
    centred, as standardised parameters are: towards zero is where it regularises.

    Source: Engl, Hanke, Neubauer (1996), Regularization of Inverse Problems, chapter 5.
    """
    from sklearn.linear_model import LinearRegression

    inputs, targets = _numpy(splits.train)
    forward = LinearRegression().fit(targets, inputs)
    left, singular, right = np.linalg.svd(forward.coef_, full_matrices=False)

    def fit(strength: float) -> Predict:
        filtered = singular / (singular**2 + strength * singular[0] ** 2)
        inverse = (right.T * filtered) @ left.T
        return lambda measured: (measured - forward.intercept_) @ inverse.T

    return _best(fit, splits, strengths)


def _best(fit: Callable[[float], Predict], splits: Splits, strengths: Sequence[float]) -> Baseline:
    if not len(splits.validation.targets):
        raise DataError("a regularisation is chosen on the validation part; give data.validation above 0")
    fitted = [fit(strength) for strength in strengths]
    errors = [_error(predict, splits.validation) for predict in fitted]
    best = int(np.argmin(errors))
    return Baseline(strengths[best], errors[best], _error(fitted[best], splits.test))


def _error(predict: Predict, split: Split) -> float:
    inputs, targets = _numpy(split)
    if not len(targets):
        return float("nan")
    return float(np.linalg.norm(predict(inputs) - targets) / np.linalg.norm(targets))


def _numpy(split: Split) -> tuple[Array, Array]:
    return split.inputs.flatten(1).double().cpu().numpy(), split.targets.double().cpu().numpy()
