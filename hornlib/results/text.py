"""Text in netCDF files: UTF-8 characters of a fixed width.

netCDF4 1.7.5 with HDF5 2.2 dies by SIGSEGV when a file with variable-length strings (NC_STRING) is opened twice; a file
of characters survives.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["ENCODING", "characters_of", "text_of", "with_plain_text"]

ENCODING = "utf-8"


def characters_of(text: np.ndarray) -> np.ndarray:
    """Return text, (...), as UTF-8 bytes padded with zeros, (..., width)."""
    encoded = np.char.encode(np.ascontiguousarray(text).astype(str), ENCODING)
    width = max(encoded.dtype.itemsize, 1)
    return encoded.astype(f"S{width}")[..., None].view("S1")


def text_of(characters: np.ndarray) -> np.ndarray:
    """Return UTF-8 bytes padded with zeros, (..., width), as text, (...)."""
    joined = np.ascontiguousarray(characters).view(f"S{characters.shape[-1]}")[..., 0]
    return np.char.decode(joined, ENCODING)


def with_plain_text(ds: "xr.Dataset") -> "xr.Dataset":
    """Return the dataset (..) in a form that `to_netcdf` writes without NC_STRING.

    The encodings of the file that it comes from are dropped.
    """
    ds = ds.drop_encoding()
    for name, variable in ds.variables.items():
        if variable.dtype.kind in "OU":
            ds[name].encoding = {"dtype": "S1"}
    return ds
