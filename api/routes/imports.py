"""Imports: files that an office sends, read in a child process and kept whole or not at all."""

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, File, Form, Request, Response, UploadFile
from pydantic import StringConstraints, TypeAdapter, ValidationError

from api.access import Asked, may
from api.answers import Page, invalid, listed, shown
from api.columns import FINDING, IMPORT, cut, only
from api.described import REPEATED, TABLE, THING
from api.models import Name
from api.paths import OF, CooperativeId, ImportId
from geomap.errors import FileError
from geomap.plots.archives import too_large
from geomap.plots.intake import UPLOAD_CAPS
from geomap.plots.kinds import KINDS
from geomap.store import audit
from geomap.store.cooperatives import cooperative
from geomap.store.imports import import_, import_findings, imports, take_in_import

router = APIRouter(tags=["imports"])
ALL = f"{OF}/imports"
ONE = f"{ALL}/{{import_id}}"
Kind = Literal["plots", "members", "shares", "deliveries", "field_estimates", "commitments", "contracts", "settings"]
Crs = Annotated[str, StringConstraints(pattern=r"^$|^(EPSG|OGC|ESRI):[A-Za-z0-9]{1,10}$")]
"""A name from a registry: no text that could lead to a file or another computer."""
_MAPPING: Final = TypeAdapter(dict[Name, Name])
_BLOCK: Final = 2**20


async def once_each(request: Request) -> None:
    """Refuse a form that names a field twice: which of them was meant?"""
    names = [name for name, _ in (await request.form()).multi_items()]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise invalid("The form names a field twice", "body", *twice[:1])


@router.post(
    ALL,
    status_code=201,
    summary="Send a file; the same file again changes nothing",
    responses=REPEATED,
    dependencies=[Depends(once_each)],
)
def add(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("imports.add")],
    file: Annotated[
        UploadFile, File(description="GeoJSON, CSV, XLSX, GeoPackage, zipped Shapefile, KML, GPX, GeoParquet")
    ],
    kind: Annotated[Kind, Form(description="What it is about")],
    mapping: Annotated[str, Form(max_length=10_000, description='JSON: {"their column": "our column"}')] = "",
    crs: Annotated[Crs, Form(description="Of coordinates in a file that names none, such as EPSG:32616")] = "",
    replace: Annotated[bool, Form(description="What the file does not hold ends")] = False,
) -> Response:
    columns = _mapping(mapping)
    with _laid_down(file, Path(request.app.state.settings.work_dir), kind) as path:
        row = take_in_import(
            asked.store,
            asked.scope,
            path,
            cooperative_id=cooperative_id,
            kind=kind,
            file_name=file.filename or kind,
            declared=file.content_type,
            mapping=columns,
            crs=crs or None,
            replace=replace,
        )
    with asked.store.begin(asked.scope) as tx:
        audit.record(tx, "imports.add", cooperative_id=cooperative_id, object=row["import_id"])
    answer = shown(request, {**only(row, IMPORT), "repeated": row["repeated"]}, status=200 if row["repeated"] else 201)
    answer.headers["Location"] = f"{request.url.path}/{row['import_id']}"
    return answer


@router.get(ALL, summary="Imports, the latest first", responses=TABLE)
def list_imports(
    request: Request, cooperative_id: CooperativeId, page: Page, asked: Annotated[Asked, may("imports.read")]
) -> Response:
    with asked.store.read(asked.scope) as tx:
        cooperative(tx, cooperative_id)
        rows, following = cut(
            imports(tx, cooperative_id, after=page.after, limit=page.limit + 1), page.limit, "import_id"
        )
    return listed(request, rows, columns=IMPORT, name="imports", next=following)


@router.get(ONE, summary="One import", responses=THING)
def read(
    request: Request, cooperative_id: CooperativeId, import_id: ImportId, asked: Annotated[Asked, may("imports.read")]
) -> Response:
    with asked.store.read(asked.scope) as tx:
        row = import_(tx, cooperative_id, import_id)
    return shown(request, only(row, IMPORT))


@router.get(f"{ONE}/findings", summary="What was found in the file, blocking ones first", responses=TABLE)
def list_findings(
    request: Request,
    cooperative_id: CooperativeId,
    import_id: ImportId,
    page: Page,
    asked: Annotated[Asked, may("imports.read")],
) -> Response:
    with asked.store.read(asked.scope) as tx:
        found = import_findings(tx, cooperative_id, import_id, after=page.number(), limit=page.limit + 1)
    rows, following = cut(found, page.limit, "key")
    return listed(request, rows, columns=FINDING, name="findings", next=following)


def _mapping(text: str) -> dict[str, str] | None:
    """Their column → our column; None where nothing was sent."""
    if not text.strip():
        return None
    try:
        return _MAPPING.validate_json(text)
    except ValidationError:
        raise invalid('Input should be JSON like {"their column": "our column"}', "body", "mapping") from None


@contextmanager
def _laid_down(file: UploadFile, work_dir: Path, kind: str) -> Iterator[Path]:
    """What was sent as a file in a folder of its own, which goes in any case; of its name only the ending counts."""
    ending = ending_of(file)
    with tempfile.TemporaryDirectory(prefix="geomap-upload-", dir=work_dir, ignore_cleanup_errors=True) as folder:
        path = Path(folder) / f"{secrets.token_hex(16)}{ending}"
        with path.open("xb") as target:
            copy_upload(file, target)
        yield path


def ending_of(file: UploadFile) -> str:
    """The ending of the file's name.

    Raises
    ------
    FileError : it is none of those that are read.
    """
    ending = Path(file.filename or "").suffix.lower()
    if ending not in KINDS:
        raise FileError(
            "The file's name has no ending that is known.",
            why="Name and content must say the same.",
            todo=f"Send it with one of: {', '.join(KINDS)}.",
        )
    return ending


def copy_upload(file: UploadFile, target: Any) -> None:
    """Write what was sent to an open file.

    Raises
    ------
    FileTooLargeError : it is larger than any file may be.
    """
    while block := file.file.read(_BLOCK):
        if target.tell() + len(block) > UPLOAD_CAPS.file_bytes:
            most = f"{UPLOAD_CAPS.file_bytes / 1e6:,.0f} MB"
            raise too_large("The file", f"more than {most}", most)
        target.write(block)
