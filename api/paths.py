"""The parts of addresses: ids that the service made up, and ids that are the cooperative's own."""

from typing import Annotated, Final

from fastapi import Path

from api.models import PRINTABLE

RANDOM: Final = r"^[A-Za-z0-9_-]{1,64}$"
CooperativeId = Annotated[str, Path(pattern=RANDOM, description="Random id of the cooperative")]
ImportId = Annotated[str, Path(pattern=RANDOM, description="Random id of the import")]
RunId = Annotated[str, Path(pattern=RANDOM, description="Random id of the run")]
ReleaseId = Annotated[str, Path(pattern=RANDOM, description="Random id of the release")]
JobId = Annotated[str, Path(pattern=RANDOM, description="Random id of the job")]
MemberId = Annotated[
    str, Path(max_length=1_000, pattern=PRINTABLE, description="The member's id in the cooperative's own files")
]
PlotId = Annotated[
    str, Path(max_length=1_000, pattern=PRINTABLE, description="The plot's id in the cooperative's own files")
]
FileName = Annotated[str, Path(max_length=200, pattern=r"^[A-Za-z0-9_.-]+$", description="Name of the table or file")]
OF: Final = "/cooperatives/{cooperative_id}"
"""How every address within a cooperative begins."""
