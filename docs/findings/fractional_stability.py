"""Where the Fractional-DNN's linear test becomes unstable: the predicted border, and simulations over depth.

python docs/findings/fractional_stability.py
"""

from pathlib import Path

import matplotlib
import numpy as np

from hornlib.dynamics.fractional_stability import linear_test, stability_limit
from hornlib.report.fractional_map import draw_depth_map
from hornlib.stability.depth_map import depth_map, measured_border

ORDERS, DEPTHS, SIDES = (0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0), (16, 64, 256, 1024), (0.97, 1.03)

COLUMNS = [
    "gamma",
    "predicted border",
    *(f"measured, {depth} layers" for depth in DEPTHS),
    "max abs y at .97 of it",
    "abs y at 1.03, 2,000 layers",
]

HEAD = f"""# Stability of the Fractional-DNN
The linear test D^gamma y = lambda y, lambda < 0, under the explicit L1 scheme on a uniform grid dies out iff
tau^gamma Gamma(2 - gamma) |lambda| < 4 eta(gamma - 1), eta the Dirichlet eta function: at the border y alternates
in sign, and the increments' weights with alternating signs sum to 2 eta(gamma - 1). Made by
`python docs/findings/fractional_stability.py`; float64, no training.

![growth over depth and time step](fractional_stability.svg)

The thick line is the border, the thin one |y_L| = |y_0|. A network of few layers feels the border little: 3 % beyond
it y is 1.3 to 2.5 times y_0 after 16 layers, and 10^29 and more times after 2,000 (last column).

| {" | ".join(COLUMNS)} |
|---|{"---:|" * (len(COLUMNS) - 1)}
"""

TAIL = """
Measured: the strength at which the last of so many layers still grows (|y_L| = |y_{L-2}|), by bisection.
"""


def row(order: float) -> str:
    """Write prediction and measurements at one order."""
    limit = stability_limit(order)
    measured = " | ".join(f"{measured_border(order, depth):.4f}" for depth in DEPTHS)
    inside, outside = np.abs(linear_test(limit * np.array(SIDES), order, 2000)[1:]).T
    return f"| {order:g} | {limit:.4f} | {measured} | {inside.max():.2f} | {outside[-1]:.2g} |"


def main() -> None:
    """Write the table and the map beside this file."""
    here = Path(__file__)
    here.with_suffix(".md").write_text(HEAD + "\n".join(row(order) for order in ORDERS) + "\n" + TAIL)
    with matplotlib.rc_context({"svg.hashsalt": "hornlib", "svg.fonttype": "none", "font.size": 9}):
        draw_depth_map(depth_map()).savefig(here.with_suffix(".svg"), metadata={"Date": None}, dpi=150)


if __name__ == "__main__":
    main()
