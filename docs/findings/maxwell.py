"""Networks on the Maxwell problem beside linear answers: learned against fixed time steps, as tables and a figure.

python docs/findings/maxwell.py results/maxwell/results.nc --root data --out docs/findings/maxwell.md
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from linear_answers import field_error, linear_regression, ridge_regression, tikhonov_inverse
from scipy.stats import ttest_rel
from tables import final, opened, spread, write_below_mark

from hornlib.data import MAXWELL
from hornlib.data.loading import load
from hornlib.data.maxwell.examples import NUM_MODES
from hornlib.data.maxwell.loaders import examples_of
from hornlib.data.parameters import DataParameters
from hornlib.statistics.estimators.holm import holm

PAIRS = (("learned", "fixed"), ("learned", "fixed_unit_steps"), ("densenet_learned", "densenet_fixed"),
         ("fractional_learned", "fractional_fixed"))  # fmt: skip


def error_of(ds: xr.Dataset, arm: str) -> np.ndarray:
    """Return the relative L2 error of the test part at the last evaluation, (seeds,); 1 of a run that diverged."""
    own = ds.isel(cell=int(np.flatnonzero(ds["arm"].values == arm)[0]))
    return final(own, "test_metric", diverged=1.0)


def p_values(ds: xr.Dataset) -> np.ndarray:
    """Return the p-values of learned against fixed steps, paired t-tests of log errors, one for each of `PAIRS`."""
    errors = [[np.log(error_of(ds, arm)) for arm in pair] for pair in PAIRS]
    return np.array([float(ttest_rel(learned, fixed).pvalue) for learned, fixed in errors])


def compared(ds: xr.Dataset, adjusted: np.ndarray) -> Iterator[str]:
    """Yield learned against fixed steps, paired by seed.

    Args:
        ds: one problem at one noise.
        adjusted: its p-values after Holm's correction over all of the page.
    """
    for (learned, fixed), p, corrected in zip(PAIRS, p_values(ds), adjusted, strict=True):
        ratio = error_of(ds, learned) / error_of(ds, fixed)
        yield f"- {learned} over {fixed}: error times {spread(ratio)}, p = {p:.2g}, Holm {corrected:.2g}"
    yield ""


def forward(ds: xr.Dataset, linear: float, floor: float, adjusted: np.ndarray) -> Iterator[str]:
    """Yield the table of the forward map."""
    goal = max(0.05, 1.5 * floor)
    yield from (
        "## (A) From parameters to the field",
        f"n = {ds.sizes['seed']} seeds, medians [quartiles]. Error of the {NUM_MODES} POD coefficients, and of "
        f"the whole field with the POD floor of {100 * floor:.2f} % in it: sqrt(e^2 (1 - floor^2) + floor^2). Linear "
        f"regression: {linear:.3f}, the field {field_error(linear, floor):.3f}. Wanted: the field within "
        f"{100 * goal:.1f} % and a third of linear regression's error.",
        "",
        "| arm | coefficients | field, % | linear regression / arm | parameters | horizon |",
        "|---|---:|---:|---:|---:|---:|",
    )
    for place, arm in enumerate(ds["arm"].values):
        own, error = ds.isel(cell=place), error_of(ds, arm)
        field = 100 * np.array([field_error(float(one), floor) for one in error])
        yield (
            f"| {arm} | {spread(error, 4)} | {spread(field, 2)} | {spread(linear / error, 1)} | "
            f"{own['final_num_parameters'].max().item():,.0f} | {spread(own['final_horizon'].values, 2)} |"
        )
    yield from ("", *compared(ds, adjusted))


def inverse(ds: xr.Dataset, root: str, adjusted: np.ndarray) -> Iterator[str]:
    """Yield the table of the inverse problem, noise by noise; `adjusted` has one row a noise."""
    noises = noises_of(ds)
    arms = list(dict.fromkeys(ds["arm"].values))
    yield from (
        "## (B) From noisy sensors on one face back to the parameters",
        f"n = {ds.sizes['seed']} seeds, medians [quartiles] of the relative L2 error of the five parameters.",
        "",
        "| | " + " | ".join(f"{100 * noise:g} % noise" for noise in noises) + " |",
        "|---|" + "---:|" * len(noises),
    )
    answers = {"linear regression": linear_regression, "ridge regression": ridge_regression,
               "Tikhonov inverse of the linear forward map": tikhonov_inverse}  # fmt: skip
    parts = [load(DataParameters(name="maxwell_inverse", root=root, noise=noise), "cpu") for noise in noises]
    for name, answer in answers.items():
        yield f"| {name} | " + " | ".join(f"{answer(part).test:.3f}" for part in parts) + " |"
    for arm in arms:
        found = [spread(error_of(at(ds, noise), arm)) for noise in noises]
        yield f"| {arm} | " + " | ".join(found) + " |"
    yield ""
    for noise, corrected in zip(noises, adjusted, strict=True):
        yield from (f"At {100 * noise:g} % noise:", "", *compared(at(ds, noise), corrected))


def noises_of(ds: xr.Dataset) -> list[float]:
    """Return the noises of the inverse problem, the smallest first."""
    return sorted(set(ds["noise"].values.tolist()))


def at(ds: xr.Dataset, noise: float) -> xr.Dataset:
    """Return the cells of one noise."""
    return ds.isel(cell=np.flatnonzero(ds["noise"].values == noise))


def draw(path: Path, sweeps: dict[str, xr.Dataset]) -> None:
    """Draw the test error over epochs: the forward map, and the inverse at every noise."""
    inverse_of = sweeps["inverse"]
    noises = noises_of(inverse_of)
    panels = {
        "(A) forward": sweeps["forward"],
        **{f"(B) inverse, {100 * n:g} % noise": at(inverse_of, n) for n in noises},
    }
    figure, axes = plt.subplots(1, len(panels), figsize=(3.2 * len(panels), 3.9), layout="constrained")
    colours = {"fixed": "#0072b2", "fixed_unit_steps": "#56b4e9", "learned": "#d55e00", "densenet_fixed": "#009e73",
               "densenet_learned": "#009e73", "fractional_fixed": "#cc79a7", "fractional_learned": "#cc79a7",
               "perceptron": "#000000"}  # fmt: skip
    lines = {}
    for panel, (title, ds) in zip(axes.flat, panels.items(), strict=True):
        for place, arm in enumerate(ds["arm"].values):
            own = ds.isel(cell=place)
            style = "--" if arm.endswith("_fixed") else "-"
            error = own["test_metric"].median("seed")
            (lines[arm.replace("_", " ")],) = panel.plot(
                own["step"], error, style, color=colours[arm], lw=1.3
            )
        panel.set(xscale="log", yscale="log", xlabel="training steps")
        panel.set_title(title, fontsize=9)
    axes.flat[0].set_ylabel("relative L2 error of the test part")
    figure.legend(
        lines.values(), lines.keys(), fontsize=8, frameon=False, loc="outside lower center", ncols=4
    )
    plt.rcParams["svg.hashsalt"] = "hornlib"
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Read the results and the examples, and write the tables; what stands above the mark is kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder of the file of examples")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    root = str(arguments.root)
    sweeps = {sweep: opened(arguments.results, sweep) for sweep in ("forward", "inverse")}
    floor = float(examples_of(MAXWELL, arguments.root).pod_floor)
    linear = linear_regression(load(DataParameters(name="maxwell_forward", root=root), "cpu")).test
    problems = [sweeps["forward"], *(at(sweeps["inverse"], noise) for noise in noises_of(sweeps["inverse"]))]
    raw = np.array([p_values(problem) for problem in problems])
    adjusted = holm(raw.ravel()).reshape(raw.shape)
    lines = [
        *forward(sweeps["forward"], linear, floor, adjusted[0]),
        *inverse(sweeps["inverse"], root, adjusted[1:]),
    ]
    write_below_mark(arguments.out, "A Maxwell problem", "docs/findings/maxwell.py", lines)
    draw(arguments.out.with_suffix(".svg"), sweeps)


if __name__ == "__main__":
    main()
