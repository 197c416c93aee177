"""Linear answers to the Maxwell datasets, and to any other regression: what no network is needed for."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from hornlib.data.loading import Split, Splits
from hornlib.data.maxwell.problem import Array
from hornlib.errors import DataError

__all__ = [
    "STRENGTHS",
    "LinearAnswer",
    "field_error",
    "linear_regression",
    "ridge_regression",
    "tikhonov_inverse",
]

STRENGTHS: tuple[float, ...] = tuple(10 ** (half / 2) for half in range(-24, 9))
"""Strengths of regularisation tried, beside inputs of standard deviation 1."""

Predict = Callable[[Array], Array]


class LinearAnswer(NamedTuple):
    """How well a linear answer does.

    Attributes:
        strength: of the regularisation, chosen on the validation part; 0 where there is none.
        validation, test: relative L2 error over all examples of the part, as the metric `relative_l2`; NaN for a part
            without examples.
    """

    strength: float
    validation: float
    test: float


def linear_regression(splits: Splits) -> LinearAnswer:
    """Return the least-squares fit t = W x + b of the training part."""
    from sklearn.linear_model import LinearRegression

    predict = LinearRegression().fit(*_numpy(splits.train)).predict
    return LinearAnswer(0.0, _error(predict, splits.validation), _error(predict, splits.test))


def ridge_regression(splits: Splits, strengths: Sequence[float] = STRENGTHS) -> LinearAnswer:
    """Return the fit with regularised weights, at the strength with the least validation error.

    min sum_n ||W x_n + b - t_n||^2 + lambda N ||W||^2, N training examples.

    Args:
        splits: the dataset.
        strengths: values of lambda that are tried.
    """
    from sklearn.linear_model import Ridge

    inputs, targets = _numpy(splits.train)

    def fit(strength: float) -> Predict:
        predict: Predict = Ridge(alpha=strength * len(inputs)).fit(inputs, targets).predict
        return predict

    return _best(fit, splits, strengths)


def tikhonov_inverse(splits: Splits, strengths: Sequence[float] = STRENGTHS) -> LinearAnswer:
    """Return Tikhonov's regularised inverse of the linearised forward map.

    t = argmin ||F t + b - x||^2 + lambda ||F||^2 ||t||^2. The measurements x are modelled as F t + b; F and b are
    fitted to the training part by least squares, ||F|| is the spectral norm, and lambda has the least validation
    error. Targets must be centred, as standardised parameters are, since the solution is drawn towards zero.

    Args:
        splits: the dataset; inputs are the measurements x, targets the parameters t.
        strengths: values of lambda that are tried.

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


def field_error(coefficient_error: float, pod_floor: float) -> float:
    """Return the relative L2 error of the whole field.

    e^2 = floor^2 + (1 - floor^2) e_c^2, by Pythagoras: what the POD's modes leave out is orthogonal to them.

    Args:
        coefficient_error: e_c, relative L2 error of the predicted coefficients.
        pod_floor: relative L2 error of the field projected onto the modes.
    """
    return float(np.sqrt(pod_floor**2 + (1 - pod_floor**2) * coefficient_error**2))


def _best(fit: Callable[[float], Predict], splits: Splits, strengths: Sequence[float]) -> LinearAnswer:
    if not len(splits.validation.targets):
        raise DataError("a regularisation is chosen on the validation part; give data.validation above 0")
    fitted = [fit(strength) for strength in strengths]
    errors = [_error(predict, splits.validation) for predict in fitted]
    best = int(np.argmin(errors))
    return LinearAnswer(strengths[best], errors[best], _error(fitted[best], splits.test))


def _error(predict: Predict, split: Split) -> float:
    inputs, targets = _numpy(split)
    if not len(targets):
        return float("nan")
    return float(np.linalg.norm(predict(inputs) - targets) / np.linalg.norm(targets))


def _numpy(split: Split) -> tuple[Array, Array]:
    return split.inputs.flatten(1).double().cpu().numpy(), split.targets.double().cpu().numpy()
