"""Sections of the page, one a file: evidence in, blocks out."""
