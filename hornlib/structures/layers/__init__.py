"""Structures that insert or remove layers while a network trains."""
