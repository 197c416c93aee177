"""Parameters of the static structure: there are none."""

from typing import ClassVar, Literal

from hornlib.parameters.structure import StructureParameters

__all__ = ["StaticParameters"]


class StaticParameters(StructureParameters):
    """A network that keeps its shape while it trains."""

    code: ClassVar[str] = ""

    name: Literal["static"] = "static"
    """Which structure this is."""
