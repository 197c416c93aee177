"""The declaration of a variable of a netCDF file: dimensions, unit, long name, and what computes it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

__all__ = ["Variable"]

NO_ATTRIBUTES: Mapping[str, str] = MappingProxyType({})


class Variable(NamedTuple):
    """One variable of a file.

    Attributes:
        dims: names of its dimensions.
        units: as UDUNITS writes them; "1" is dimensionless.
        long_name: text for an axis label.
        optional: whether a file may lack the variable.
        source: dotted name of the function, class or module that computes the values; "" where the name says it.
        attributes: further netCDF attributes, e.g. estimator or interval.
    """

    dims: tuple[str, ...]
    units: str
    long_name: str
    optional: bool = False
    source: str = ""
    attributes: Mapping[str, Any] = NO_ATTRIBUTES

    def netcdf_attributes(self) -> dict[str, Any]:
        """Return the attributes that stand beside the values in a file."""
        return {"units": self.units, "long_name": self.long_name, **self.attributes}
