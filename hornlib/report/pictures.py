"""Figures that others have drawn, taken into the page as they are."""

import base64
from pathlib import Path

from hornlib.errors import ResultsError
from hornlib.report.blocks import Picture
from hornlib.report.wording import slug

__all__ = ["pictures"]

LARGEST_SVG = 150_000
"""Bytes; of a larger drawing the page takes the PNG, so that it stays small."""

TYPES = {".svg": "image/svg+xml", ".png": "image/png"}


def pictures(folder: Path, start: str, title: str, caption: str) -> list[Picture]:
    """Return the figures in a folder whose names start so, each once, be it there as SVG, as PNG or both.

    Args:
        folder: where figures are.
        start: the name of the file, or its beginning up to a hyphen.
        title: what they show.
        caption: n and estimator, in words that also serve who does not see the picture.

    Raises:
        ResultsError: a figure cannot be read; its name is told.
    """
    stems = {path.stem for path in (*folder.glob(f"{start}*.svg"), *folder.glob(f"{start}*.png"))}
    return [
        Picture(slug(stem), title, caption, f"{title} {caption}", _address(folder, stem))
        for stem in sorted(stems)
        if stem == start or stem.startswith(f"{start}-")
    ]


def _address(folder: Path, stem: str) -> str:
    vector, bitmap = folder / f"{stem}.svg", folder / f"{stem}.png"
    small = vector.exists() and (vector.stat().st_size <= LARGEST_SVG or not bitmap.exists())
    path = vector if small else bitmap
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read ({error}); remove it, and it is drawn anew") from error
    return f"data:{TYPES[path.suffix]};base64,{base64.b64encode(content).decode()}"
