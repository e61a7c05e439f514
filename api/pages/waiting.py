"""Files between two pages: sent, looked at, and not yet taken in. They are gone after an hour in any case."""

import json
import re
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd
from fastapi import UploadFile

from api.routes.imports import copy_upload, ending_of
from api.worker import UPLOAD_AGE_S
from geomap.errors import ColumnError
from geomap.plots.columns import ATTRIBUTE_NAMES, MEMBER_NAMES, PLOT_NAMES, SHARE_NAMES, match_columns
from geomap.plots.intake import take_in_table
from geomap.store.errors import NotFoundError
from geomap.store.office_rows import NAMES
from geomap.supply.settings import SETTING_NAMES

COLUMNS: Final[Mapping[str, Sequence[str]]] = {
    "plots": (*PLOT_NAMES, *ATTRIBUTE_NAMES),
    "members": (*MEMBER_NAMES, *ATTRIBUTE_NAMES),
    "shares": SHARE_NAMES,
    **NAMES,
    "settings": SETTING_NAMES,
}
"""Kind of file → our names of its columns."""
ROWS_SHOWN: Final = 5
_FOLDER: Final = "geomap-upload-page-{}"
_TOLD: Final = "told.json"
_TOKEN: Final = re.compile(r"[\w-]{22}")


@dataclass(frozen=True)
class Waiting:
    """A file that waits: where it lies, what it is called, and whose it is."""

    token: str
    path: Path
    kind: str
    file_name: str
    declared: str | None


@dataclass(frozen=True)
class Preview:
    """The first rows of a file, its columns, and our name → their column as we understood them.

    doubt : why the columns could not be told apart; "" where they could.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    matched: Mapping[str, str]
    size: int
    doubt: str = ""


def lay_down(file: UploadFile, work_dir: Path, *, kind: str, account: str, cooperative_id: str) -> str:
    """The token of a file that now waits.

    Raises
    ------
    FileError : the name has no ending that is known. FileTooLargeError : it is too large.
    """
    ending, token = ending_of(file), secrets.token_urlsafe(16)
    folder = work_dir / _FOLDER.format(token)
    folder.mkdir(mode=0o700)
    try:
        with (folder / f"{secrets.token_hex(16)}{ending}").open("xb") as target:
            copy_upload(file, target)
        told: dict[str, Any] = {
            "file": Path(target.name).name,
            "kind": kind,
            "name": file.filename,
            "declared": file.content_type,
        }
        told |= {"account": account, "cooperative_id": cooperative_id, "until": time.time() + UPLOAD_AGE_S}
        (folder / _TOLD).write_text(json.dumps(told), encoding="utf-8")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return token


def waiting(token: str, work_dir: Path, *, account: str, cooperative_id: str) -> Waiting:
    """The file that waits under a token, for whoever sent it.

    Raises
    ------
    NotFoundError : none, too old, or of another account or cooperative; told alike.
    """
    folder = work_dir / _FOLDER.format(token if _TOKEN.fullmatch(token) else "none")
    try:
        told = json.loads((folder / _TOLD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        told = {}
    if (told.get("account"), told.get("cooperative_id")) != (account, cooperative_id) or told["until"] < time.time():
        raise NotFoundError("The file is no longer here.", todo="Send it again.")
    return Waiting(token, folder / told["file"], told["kind"], told["name"], told["declared"])


def forget(file: Waiting) -> None:
    """Remove a file that has been taken in."""
    shutil.rmtree(file.path.parent, ignore_errors=True)


def preview(file: Waiting) -> Preview:
    """The first rows, read in a child process as everything from outside is.

    Raises
    ------
    GeomapError : the file cannot be read.
    """
    names = COLUMNS[file.kind]
    cells, _, _ = take_in_table(file.path, names, declared=file.declared, uploads=True)
    columns = [str(name) for name in cells.columns]
    matched, doubt = _matched(columns, names, file.file_name)
    rows = cells.head(ROWS_SHOWN)
    return Preview(columns, _texts(rows), matched, len(cells), doubt)


def _matched(columns: Sequence[str], names: Sequence[str], file: str) -> tuple[Mapping[str, str], str]:
    own = [name for name in names if name not in ATTRIBUTE_NAMES]
    try:
        return match_columns(columns, own, file=file), ""
    except ColumnError as error:
        return {}, str(error)


def _texts(rows: pd.DataFrame) -> list[list[str]]:
    return [[str(cell)[:80] for cell in row] for row in rows.itertuples(index=False, name=None)]
