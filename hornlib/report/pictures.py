"""Figures that are drawn without vega, taken into the page as they are."""

import base64
from collections.abc import Sequence
from pathlib import Path

from hornlib.report.blocks import Picture
from hornlib.report.wording import slug

__all__ = ["picture"]

LARGEST_SVG = 150_000
"""Bytes; of a larger drawing the page takes the PNG, so that it stays small."""

TYPES = {".svg": "image/svg+xml", ".png": "image/png"}


def picture(paths: Sequence[Path], title: str, caption: str) -> Picture:
    """Return a figure for the page.

    Args:
        paths: the same drawing as SVG and as PNG.
        title: what it shows.
        caption: n and estimator, in words that also serve who does not see it.
    """
    vector, bitmap = sorted(paths, key=lambda path: path.suffix != ".svg")
    path = vector if vector.stat().st_size <= LARGEST_SVG else bitmap
    address = f"data:{TYPES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"
    return Picture(slug(path.stem), title, caption, f"{title}. {caption}", address)
