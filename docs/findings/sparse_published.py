"""Published accuracies of sparse training, %, by sweep and arm; each table has its source."""

__all__ = ["CURVES", "PUBLISHED", "SOURCES"]

PUBLISHED: dict[str, dict[str, float]] = {
    "mnist_density_10": {"dense": 98.69, "set": 98.39, "snfs": 98.67, "dsr": 98.44},
    "mnist_density_2": {"dense": 98.69, "set": 97.74, "snfs": 98.20},
    "mnist_other_rules": {"dense": 98.69, "snip": 97.6, "dsr": 98.14},
    "itop": {"dense": 98.69, "set": 98.14},
    "mnist_long": {"rigl": 98.52},
    "cifar_set": {"static": 51.8, "set": 53.3},
    "cifar_set_dense": {"dense": 51.3},
    "fashion": {"set": 89.00, "rigl": 89.91},
    "fashion_dense": {"dense": 90.88},
    "cifar10": {"set": 62.70, "rigl": 63.90},
    "cifar10_dense": {"dense": 62.85},
    "wrn_22_2": {
        "dense": 94.1,
        "static density=0.1": 91.6,
        "static density=0.2": 92.9,
        "static density=0.5": 94.2,
        "rigl density=0.1": 93.1,
        "rigl density=0.2": 93.8,
        "rigl density=0.5": 94.3,
        "gmp density=0.1": 93.3,
        "gmp density=0.2": 93.5,
        "gmp density=0.5": 94.1,
    },
}
"""Sweep -> arm, or label of one of its cells -> test accuracy, %."""

_MNIST = "Dettmers and Zettlemoyer (2019), released table of LeNet-300-100 after 100 epochs. SNIP: number of its paper."
_SET = "Mocanu et al. (2018), released curves of one run each, after 30 epochs (dense: after 10)."
_CHTS = (
    "CHTs (arXiv 2501.19107), three seeds, the best test accuracy of an epoch. CHTs itself has 90.67 on Fashion-MNIST "
    "and 69.97 on CIFAR-10."
)

SOURCES: dict[str, str] = {
    "mnist_density_10": _MNIST,
    "mnist_density_2": _MNIST,
    "mnist_other_rules": _MNIST,
    "itop": _MNIST,
    "mnist_long": "Evci et al. (2020), appendix B, the final test error; the best is 1.44 %.",
    "cifar_set": _SET,
    "cifar_set_dense": _SET,
    "fashion": _CHTS,
    "fashion_dense": _CHTS,
    "cifar10": _CHTS,
    "cifar10_dense": _CHTS,
    "wrn_22_2": "Evci et al. (2020) after 250 epochs, as quoted by the reproduction of Sundar and Dwaraknath (2021).",
}
"""Sweep -> where its published numbers come from."""

CURVES: dict[str, dict[int, float]] = {
    "dense": {1: 35.8, 5: 46.7, 10: 51.3, 20: 55.6, 30: 57.0},
    "static": {1: 14.9, 5: 33.2, 10: 42.4, 20: 49.1, 30: 51.8},
    "set": {1: 17.1, 5: 33.4, 10: 42.8, 20: 50.0, 30: 53.3},
}
"""Arm -> epoch -> test accuracy, %, of the released curves of SET on CIFAR-10. Dense leads until about epoch 200, and
SET only later (73.3 against 70.3 after 1,000)."""
