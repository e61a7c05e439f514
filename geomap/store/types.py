"""Column types and the clock that mean the same in SQLite and PostgreSQL."""

from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Float, Integer
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import UserDefinedType

KEY: Final = BigInteger().with_variant(Integer(), "sqlite")
"""A number that the database counts up; SQLite does so for INTEGER only."""


class Wkb(UserDefinedType[bytes]):
    """A shape as WKB in longitude and latitude: a BLOB in SQLite, geometry(Geometry, 4326) in PostGIS."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "BLOB"

    def bind_expression(self, bindvalue: Any) -> ColumnElement[Any]:
        return _FromWkb(bindvalue)

    def column_expression(self, column: Any) -> ColumnElement[Any]:
        return _AsWkb(column)


class _FromWkb(FunctionElement[Any]):
    inherit_cache = True


class _AsWkb(FunctionElement[Any]):
    inherit_cache = True
    type = Wkb()  # what comes out is bytes again


class now(FunctionElement[float]):  # reads as SQL does
    """Seconds since 1970 by the clock of the database, so that all machines agree."""

    type = Float()
    inherit_cache = True


@compiles(Wkb, "postgresql")
def _geometry(_type: Wkb, _compiler: Any, **_: Any) -> str:
    return "geometry(Geometry, 4326)"


@compiles(_FromWkb)
@compiles(_AsWkb)
def _as_it_is(element: Any, compiler: Any, **more: Any) -> str:
    return str(compiler.process(element.clauses, **more))


@compiles(_FromWkb, "postgresql")
def _from_wkb(element: Any, compiler: Any, **more: Any) -> str:
    return f"ST_GeomFromWKB({compiler.process(element.clauses, **more)}, 4326)"


@compiles(_AsWkb, "postgresql")
def _as_wkb(element: Any, compiler: Any, **more: Any) -> str:
    return f"ST_AsBinary({compiler.process(element.clauses, **more)})"


@compiles(now)  # also where a statement is looked at before it meets its database
@compiles(now, "sqlite")
def _sqlite_now(_element: Any, _compiler: Any, **_: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now, "postgresql")
def _postgresql_now(_element: Any, _compiler: Any, **_: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"
