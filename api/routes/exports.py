"""Everything a cooperative owns, as one ZIP archive of open formats."""

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from api.access import Asked, may
from api.described import ARCHIVE
from api.paths import OF, CooperativeId
from geomap.store import audit
from geomap.store.cooperatives import cooperative
from geomap.store.export import export_cooperative

router = APIRouter(tags=["exports"])
_BLOCK: Final = 2**18
_DATE: Final = (1980, 1, 1, 0, 0, 0)
"""The first day that ZIP knows: the same content is the same bytes."""


@router.get(
    f"{OF}/export",
    summary="Everything the cooperative owns, as a ZIP archive",
    response_class=StreamingResponse,
    responses=ARCHIVE,
)
def export(
    request: Request, cooperative_id: CooperativeId, asked: Annotated[Asked, may("cooperatives.export")]
) -> Response:
    work_dir = Path(request.app.state.settings.work_dir)
    with asked.store.begin(asked.scope) as tx:
        cooperative(tx, cooperative_id)
        audit.record(tx, "cooperatives.export", cooperative_id=cooperative_id)
    archive = tempfile.TemporaryFile(prefix="geomap-export-", dir=work_dir)  # has no name; it goes when it is closed
    try:
        with tempfile.TemporaryDirectory(prefix="geomap-export-", dir=work_dir) as folder:
            with asked.store.read(asked.scope) as tx:
                export_cooperative(tx, cooperative_id, Path(folder))
            pack(Path(folder), archive)
    except BaseException:
        archive.close()
        raise
    size = archive.seek(0, 2)
    headers = {
        "Content-Length": str(size),
        "Content-Disposition": f'attachment; filename="{cooperative_id}.zip"',
        "Cache-Control": "no-store",
    }
    return StreamingResponse(_blocks(archive), media_type="application/zip", headers=headers)


def pack(folder: Path, archive: IO[bytes]) -> None:
    """Put all files of a folder into a ZIP archive: sorted names, one date, so that equal content is equal bytes."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _DATE)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o600 << 16
            with path.open("rb") as source, target.open(entry, "w") as sink:
                shutil.copyfileobj(source, sink, _BLOCK)


def _blocks(archive: IO[bytes]) -> Iterator[bytes]:
    with archive:
        archive.seek(0)
        while block := archive.read(_BLOCK):
            yield block
