"""An analyst's ten lines: from a results folder to learning curves, times to target and the headline ratio.

python examples/analyse.py                   # after `make sweep`
python examples/analyse.py results digits    # of this folder and sweep
"""

import sys
from pathlib import Path

from matplotlib import pyplot

from hornlib import open_results, time_to_target
from hornlib.statistics.write import open_statistics

folder, sweep = Path((sys.argv[1:] or ["results"])[0]), (sys.argv[2:] or ["digits"])[0]

results = open_results(folder / "results.nc", sweep=sweep).query(cell="presentation == 'image'")
curves = results["validation_metric"].median("seed").swap_dims(cell="arm")
curves.plot.line(x="step", hue="arm", xscale="log")
pyplot.savefig(folder / "analysis.svg")

reached = time_to_target(results, target=0.9, on="samples")
print(reached["time"].groupby("arm").median(...).to_series(), end="\n\n")

statistics = open_statistics(folder / "statistics.nc", sweep)
of_subject = statistics.query(contender=f"arm == '{statistics.attrs['subject']}'")
headline = of_subject[["ratio", "ratio_bound", "num_pairs"]].sel(axis="samples", target=0.9)
print(headline.sel(rival=statistics.attrs["baseline"]).reset_coords(drop=True).to_dataframe(), end="\n\n")
print(statistics.attrs["answer"])
