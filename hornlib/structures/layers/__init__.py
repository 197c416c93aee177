"""Structures that insert or prune layers."""
