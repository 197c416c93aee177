"""Broken inputs: what hornlib does with damaged files and with wrong configurations, as tables in Markdown.

python benchmarks/fuzz.py [--files 300] [--bits 3000] [--configurations 1000] [--seed 0]
"""

import argparse

from fuzz import configurations, files


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=300, help="damaged files of each kind")
    parser.add_argument("--bits", type=int, default=3000, help="run files with a single changed bit")
    parser.add_argument("--configurations", type=int, default=1000, help="wrong configurations")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("### Damaged files\n")
    print(*files.table(options.files, options.bits, options.seed), sep="\n", flush=True)
    print("\n### Wrong configurations\n")
    print(*configurations.table(options.configurations, options.seed), sep="\n")


if __name__ == "__main__":
    main()
