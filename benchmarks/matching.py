"""What a match by training FLOPs costs when a grid is expanded, beside a match by forward FLOPs.

`python benchmarks/matching.py` writes benchmarks/matching.md. Each expansion runs in a fresh process; "first" has an
empty cache of remembered counts, "again" the one that the first left.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
CONFIGURATION = REPOSITORY / "config" / "horn.yaml"
OLD, NEW = "to: horn, by: flops", "to: horn, by: training_flops"
WITHOUT = "name: shufflenet_v2"
"""The line of an arm without closed forms: its counts load torch whatever it is matched by."""

ROUNDS = 5

EXPAND = """
import json, sys, time
from hornlib.grid import read_grid
start = time.perf_counter()
grid = read_grid([sys.argv[1]])
seconds = time.perf_counter() - start
deviations = [match.deviation for match in grid.matches if match.by == sys.argv[2]]
others = [match.deviation_in(sys.argv[3]) for match in grid.matches if match.by == sys.argv[2]]
print(json.dumps([seconds, min(deviations), max(deviations), min(others), max(others)]))
"""


def main() -> None:
    """Measure both matches and write the table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    text = "".join(line for line in CONFIGURATION.read_text().splitlines(True) if WITHOUT not in line)
    if OLD not in text:
        sys.exit(f"{CONFIGURATION} has no match `{OLD}` any more")
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for by, other, content in (
            ("forward_flops", "training_flops", text),
            ("training_flops", "forward_flops", text.replace(OLD, NEW)),
        ):
            path = Path(folder) / f"{by}.yaml"
            path.write_text(content)
            rows.append((by, *_measured(path, by, other, Path(folder))))
    lines = report(rows)
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def _measured(path: Path, by: str, other: str, folder: Path) -> tuple[float, float, list[float]]:
    """Return the median seconds of a first and of a later expansion, and the spans of both deviations."""
    first, again, spans = [], [], []
    for number in range(ROUNDS):
        environment = {**os.environ, "XDG_CACHE_HOME": str(folder / f"cache-{by}-{number}")}
        for seconds in (first, again):
            command = [sys.executable, "-c", EXPAND, str(path), by, other]
            done = subprocess.run(
                command, capture_output=True, text=True, check=True, env=environment, cwd=REPOSITORY
            )
            needed, *spans = json.loads(done.stdout)
            seconds.append(needed)
    return statistics.median(first), statistics.median(again), spans


def report(rows: list[tuple[str, float, float, list[float]]]) -> list[str]:
    """Return the lines of the page."""
    load = os.getloadavg()[0]
    lines = [
        "# The cost of a match by training FLOPs",
        "",
        "Seconds to read and expand `config/horn.yaml` without its ShuffleNet, whose counts have no closed form (one "
        f"arm is matched on three datasets), medians over {ROUNDS} fresh processes; Python {platform.python_version()} "
        f"on {platform.machine()}, {os.cpu_count()} cores under a load of {load:.1f}, torch {version('torch')}.",
        "Made by `python benchmarks/matching.py`.",
        "",
        "| matched by | first | again, counts remembered | deviation in what is matched | in the other FLOPs |",
        "|---|---:|---:|---:|---:|",
    ]
    for by, first, again, (low, high, other_low, other_high) in rows:
        lines.append(
            f"| `{by}` | {first:.2f} | {again:.2f} | {low:+.1%} to {high:+.1%} "
            f"| {other_low:+.1%} to {other_high:+.1%} |"
        )
    return lines


if __name__ == "__main__":
    main()
