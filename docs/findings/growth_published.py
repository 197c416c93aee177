"""Published results of GradMax and of growth with pruning, %; each has its source."""

__all__ = ["GRADMAX", "SMALL_NETWORKS", "SOURCE"]

_VGG = {"small": 84.1, "large": 86.6, "uniform": 83.8, "firefly": 84.0, "gradmax": 84.4}

GRADMAX: dict[str, dict[str, float]] = {
    "vgg11_reduced": _VGG,
    "vgg11": _VGG,
    "wrn_28_1": {"small": 89.9, "large": 92.9, "uniform": 90.6, "firefly": 90.8, "gradmax": 91.1},
    "wrn_28_1_cifar100": {"small": 63.7, "large": 69.3, "uniform": 66.7, "firefly": 66.5, "gradmax": 66.8},
    "vgg_16_a": {"unpruned": 93.63, "fine_tuned": 93.41, "scratch_e": 93.62, "scratch_b": 93.78},
}
"""Sweep -> arm -> final test accuracy, %. Those of the reduced VGG11 are of the full one."""

SOURCE = {
    **dict.fromkeys(
        ("vgg11_reduced", "vgg11", "wrn_28_1", "wrn_28_1_cifar100"),
        "Evci et al. (2022), tables 1 and 2, three seeds, 200 epochs; `uniform` is their Random.",
    ),
    "vgg_16_a": "Liu et al. (2019), Rethinking the value of network pruning, five seeds, a VGG-16 with pools.",
}

SMALL_NETWORKS = (
    ("NeST, LeNet-300-100", 7_800, 98.71),
    ("NeST, LeNet-300-100", 3_800, 98.42),
    ("GNAP", 6_200, 99.44),
)
"""Small networks on MNIST: name, parameters, test accuracy, %. NeST: Dai et al. (2017). GNAP: arXiv 2603.19759."""
