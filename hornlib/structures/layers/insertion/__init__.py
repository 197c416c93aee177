"""Layers put in where the loss is most sensitive to them."""
