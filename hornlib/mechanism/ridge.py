"""A linear probe: ridge regression on fixed features, with a penalty that is chosen on validation examples."""

from typing import NamedTuple

import numpy as np

__all__ = ["STRENGTHS", "Part", "RidgeFit", "probe", "ridge_weights"]

STRENGTHS = np.logspace(-4, 4, 17)
"""Values of lambda / n that are tried. Of equally good ones the largest is chosen."""


class Part(NamedTuple):
    """Features (examples, features) and classes (examples,) of one split."""

    features: np.ndarray
    classes: np.ndarray


class RidgeFit(NamedTuple):
    """Accuracy of the probe on the test examples, and the chosen penalty lambda / n."""

    accuracy: float
    strength: float


def ridge_weights(features: np.ndarray, targets: np.ndarray, penalties: np.ndarray) -> np.ndarray:
    """Return argmin_W |X W - Y|^2 + p |W|^2 for each penalty p, (penalties, features, outputs).

    W = V diag(s / (s^2 + p)) U' Y, from one singular value decomposition X = U diag(s) V'.

    Args:
        features: X, centred, (examples, features).
        targets: Y, centred, (examples, outputs).
        penalties: values of p > 0, (penalties,).
    """
    left, singular, right = np.linalg.svd(features, full_matrices=False)
    shrunk = singular / (singular**2 + penalties[:, None])
    weights: np.ndarray = right.T @ (shrunk[:, :, None] * (left.T @ targets))
    return weights


def probe(train: Part, validation: Part, test: Part) -> RidgeFit:
    """Fit one-hot targets on standardised features, choose lambda by validation accuracy, and test.

    Features are standardised with mean and deviation of the training split, so that their scale has no influence.

    Args:
        train, validation, test: features and classes of the three splits.
    """
    mean, deviation = train.features.mean(0), train.features.std(0)
    deviation = np.where(deviation > 1e-12 * np.abs(mean).max(initial=1e-300), deviation, 1.0)
    scaled = [(part.features - mean) / deviation for part in (train, validation, test)]
    labels = np.eye(int(max(part.classes.max() for part in (train, validation, test))) + 1)[train.classes]
    centre = labels.mean(0)
    weights = ridge_weights(scaled[0], labels - centre, STRENGTHS * len(train.classes))
    scores = [_accuracy(scaled[1] @ one + centre, validation.classes) for one in weights]
    chosen = int(np.flatnonzero(np.array(scores) >= max(scores)).max())
    return RidgeFit(_accuracy(scaled[2] @ weights[chosen] + centre, test.classes), float(STRENGTHS[chosen]))


def _accuracy(outputs: np.ndarray, classes: np.ndarray) -> float:
    return float((outputs.argmax(1) == classes).mean())
