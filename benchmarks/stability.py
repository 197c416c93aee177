"""Predicted stability against simulation: 400,000 random oscillators a scheme, each run for 4,096 free steps.

Usage: python benchmarks/stability.py [--cells 400000] > benchmarks/stability.md
"""

import argparse
import platform
import time
from importlib.metadata import version
from typing import get_args

from hornlib.dynamics.parameters import Integrator
from hornlib.stability.maps import predicted_regime
from hornlib.stability.orders import integrator_orders
from hornlib.stability.simulation import NUM_STEPS, agreement, growth_rate, random_cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=400_000)
    number = parser.parse_args().cells
    omega, damping = random_cells(number)
    rows = []
    for integrator in get_args(Integrator):
        started = time.perf_counter()
        stable = predicted_regime(omega, damping, integrator) > 0
        shares = agreement(stable, growth_rate(omega, damping, integrator))
        rows.append((integrator, stable.mean(), *shares, time.perf_counter() - started))
    orders = integrator_orders()
    print("# Stability: prediction against simulation\n")
    print(
        f"`python benchmarks/stability.py --cells {number}`: omega h uniform on (0, 3), damping h on (0, 1.5), "
        f"the same {number:,} oscillators for every integrator, {NUM_STEPS:,} free steps each in float64 from a "
        "random state. One decides if its norm changed by a factor of at least 100 over the second half; it "
        "should then have grown if and only if it was predicted unstable. The prediction is closed-form and "
        f"knows nothing of the simulation. Python {platform.python_version()}, torch {version('torch')}.\n"
    )
    print("| integrator | predicted stable | decided | too near the border | mismatches | seconds |")
    print("|---|---|---|---|---|---|")
    for integrator, share, decided, undecided, wrong, seconds in rows:
        print(f"| {integrator} | {share:.1%} | {decided:,} | {undecided:,} | {wrong} | {seconds:.0f} |")
    print("\nOrder of convergence at a fixed T h against the exact flow (scipy's expm, float64),")
    print(f"{orders['order'].attrs['estimator']}; {orders['order_bound'].attrs['interval']}:\n")
    print("| integrator | order | interval |\n|---|---|---|")
    for name in orders["integrator"].values:
        of_integrator = orders.sel(integrator=name)
        low, high = of_integrator["order_bound"].values
        print(f"| {name} | {float(of_integrator['order']):.4f} | {low:.4f} to {high:.4f} |")


if __name__ == "__main__":
    main()
