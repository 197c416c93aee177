"""The table of models: parameter classes, free of torch; each says where its network stands."""

from hornlib.parameters import ModelParameters

__all__ = ["MODELS"]

MODELS: dict[str, type[ModelParameters]] = {
}
