"""Errors that break a contract; faults in a user's data are findings instead."""


class GeomapError(Exception):
    """What was found, why it matters, what to do: one message in three parts.

    Parameters
    ----------
    found : what was found, with count, file or ids.
    why : why it matters; may be empty.
    todo : what to do.

    Examples
    --------
    >>> print(CrsError("plots.shp names no CRS.", why="Areas would be guesses.", todo="Add plots.prj."))
    plots.shp names no CRS. Areas would be guesses. Add plots.prj.
    """

    code = "error"

    def __init__(self, found: str, *, why: str = "", todo: str = "") -> None:
        self.found, self.why, self.todo = found, why, todo
        super().__init__(" ".join(part for part in (found, why, todo) if part))


class FileError(GeomapError):
    """A file that is missing, of a kind not known, or that cannot be read."""

    code = "file"


class ColumnError(GeomapError):
    """A column that is missing, double, or holds what it must not."""

    code = "column"


class CrsError(GeomapError):
    """A coordinate reference system that is missing or does not fit."""

    code = "crs"


class RasterError(GeomapError):
    """A raster that is missing, cannot be read, or is no land-cover raster."""

    code = "raster"


class UnknownNameError(GeomapError):
    """A crop, country, product, form or season that no reference table knows."""

    code = "unknown_name"


class NumberError(GeomapError):
    """A number that cannot be, such as a yield below zero."""

    code = "number"


class OutputError(GeomapError):
    """A result that cannot be written."""

    code = "output"
