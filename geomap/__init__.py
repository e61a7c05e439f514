"""Potential supply of farming cooperatives from member plots and land cover."""

__version__ = "0.1.0"
