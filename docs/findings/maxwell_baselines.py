"""What linear answers reach on the Maxwell datasets, and what the POD leaves out: a Markdown table.

python docs/findings/maxwell_baselines.py --root data --out docs/findings/maxwell_baselines.md
"""

import argparse
from pathlib import Path

from linear_answers import LinearAnswer, field_error, linear_regression, ridge_regression, tikhonov_inverse

from hornlib.data import MAXWELL
from hornlib.data.loading import load
from hornlib.data.maxwell.loaders import examples_of
from hornlib.data.parameters import DataParameters

NOISES = (0.0, 0.01, 0.05)


def told(found: LinearAnswer) -> str:
    """Write the test error, and the strength of regularisation where one was chosen."""
    chosen = f" ({found.strength:.0e})" if found.strength else ""
    return f"{found.test:.3f}{chosen}"


def main() -> None:
    """Read the examples, answer linearly, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder of the file of examples")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    root = str(arguments.root)
    floor = float(examples_of(MAXWELL, arguments.root).pod_floor)
    forward = load(DataParameters(name="maxwell_forward", root=root), "cpu")
    linear = linear_regression(forward)
    lines = [
        "# Linear answers to the Maxwell datasets",
        "",
        f"Relative L2 error over the {MAXWELL.num_test} examples of the test part; in brackets the strength of "
        "regularisation that was best on the validation part, a tenth of the "
        f"{MAXWELL.num_train:,} other examples. Nothing here is random: one fixed draw of examples and of noise.",
        "",
        "| | linear regression | ridge regression | Tikhonov inverse of the linear forward map |",
        "|---|---:|---:|---:|",
        f"| forward | {told(linear)} | {told(ridge_regression(forward))} | |",
    ]
    for noise in NOISES:
        inverse = load(DataParameters(name="maxwell_inverse", root=root, noise=noise), "cpu")
        answers = (answer(inverse) for answer in (linear_regression, ridge_regression, tikhonov_inverse))
        lines.append(f"| inverse, {100 * noise:g} % noise | {' | '.join(map(told, answers))} |")
    lines += [
        "",
        f"The POD floor of the forward map is {100 * floor:.2f} %: what its modes leave out of the test part's fields. "
        f"With it, linear regression's error of the whole field is {field_error(linear.test, floor):.3f}.",
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
