"""A run's folder as an index of tiles."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from geomap.errors import FileError
from geomap.outputs.tiles import TileIndex

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_GRADES = {"note": 1, "warn": 2, "block": 3}


def read_run(folder: Path) -> tuple[TileIndex, "pd.DataFrame"]:
    """The plots of a run's folder (`write_run`), and names by class code.

    Raises
    ------
    FileError : the folder holds no run.
    """
    import pandas as pd
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(folder / "plots.parquet")
        classes, findings = ((folder / name).read_bytes() for name in ("classes.csv", "findings.csv"))
    except (OSError, ValueError) as error:
        raise FileError(
            f"There is no run in {folder}.", todo="Name a folder that `geomap estimate --out` left."
        ) from error
    ids = {name: table[name].combine_chunks().cast("string").fill_null("") for name in ("plot_id", "member_id")}
    names = {"area_ha": "area_ha", "potential_kg": "potential_kg"}
    names |= {"potential_p10_kg": "p10_kg", "potential_p90_kg": "p90_kg"}
    values = {ours: table[name].to_numpy().astype(float) for name, ours in names.items()}
    found = pd.read_csv(io.BytesIO(findings), dtype="str", keep_default_na=False)
    grades = found["severity"].map(_GRADES).to_numpy(dtype=int).tolist()
    index = TileIndex.of(
        table["geometry"].to_pylist(),
        ids,
        values,
        land=main_classes(ids["plot_id"], classes),
        finding=worst_findings(ids["plot_id"], found["plot_id"].to_numpy(dtype=object).tolist(), grades),
    )
    told = pd.read_csv(io.BytesIO(classes), usecols=["class", "name"]).drop_duplicates("class").set_index("class")
    return index, told.sort_index()


def main_classes(plot_ids: "pa.Array", classes: bytes | None) -> npt.NDArray[np.int16]:
    """The code of the class that covers most of each plot; the lowest of equals, −1 where it is not known.

    Parameters
    ----------
    classes : a run's classes.csv: plot_id, class (negative where nothing is known), area_ha.
    """
    import pyarrow.compute as pc
    import pyarrow.csv as pcsv

    made = np.full(len(plot_ids), -1, dtype=np.int16)
    if classes is None:
        return made
    options = pcsv.ConvertOptions(column_types={"plot_id": "string"}, include_columns=["plot_id", "class", "area_ha"])
    table = pcsv.read_csv(io.BytesIO(classes), convert_options=options)
    place = pc.index_in(table["plot_id"].combine_chunks(), value_set=plot_ids).fill_null(-1).to_numpy()
    code, area = (np.asarray(table[name].to_numpy(), dtype=float) for name in ("class", "area_ha"))
    order = np.lexsort((-code, np.nan_to_num(area)))  # the largest last, and of equals the lowest code
    order = order[place[order] >= 0]
    made[place[order]] = np.maximum(code[order], -1)
    return made


def worst_findings(plot_ids: "pa.Array", found: list[str], grades: list[int]) -> npt.NDArray[np.uint8]:
    """The gravest finding of each plot: 0 none, 1 note, 2 warning, 3 serious.

    Parameters
    ----------
    found, grades : plot and grade of each finding.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    made = np.zeros(len(plot_ids), dtype=np.uint8)
    place: Any = pc.index_in(pa.array(found, pa.string()), value_set=plot_ids).fill_null(-1).to_numpy()
    grade = np.asarray(grades, dtype=np.uint8)
    known = place >= 0
    np.maximum.at(made, place[known], grade[known])
    return made
