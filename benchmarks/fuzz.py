"""Broken inputs: what hornlib does with damaged files of every kind, and with wrong configurations, in Markdown.

python benchmarks/fuzz.py [--files 300] [--bits 3000] [--configurations 1000] [--seed 0]
"""

import argparse

from fuzz import configurations, files


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--files", type=int, default=300, help="Damaged files of each kind; 0 leaves files out."
    )
    parser.add_argument("--bits", type=int, default=3000, help="Run files with a single changed bit.")
    parser.add_argument(
        "--configurations", type=int, default=1000, help="Wrong configurations; 0 leaves them out."
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.files:
        print("## Damaged files\n")
        print(*files.table(options.files, options.bits, options.seed), sep="\n")
    if options.configurations:
        print("## Wrong configurations\n")
        print(*configurations.table(options.configurations, options.seed), sep="\n")


if __name__ == "__main__":
    main()
