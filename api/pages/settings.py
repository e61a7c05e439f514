"""What a cooperative is asked once: who it is, what it counts in, and what becomes of its harvest."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from api.access import Asked, may
from api.models import Country, Name, Text
from api.pages.base import AT, PageRoute, go, page, texts_of
from api.pages.cooperative import crop_names
from api.paths import CooperativeId
from api.routes.cooperatives import put_change
from geomap.errors import GeomapError
from geomap.store.cooperatives import cooperative
from geomap.store.errors import ChangedError
from geomap.supply.settings import FORMS, NUMBERS, SETTING_NAMES, setting_row

router = APIRouter(route_class=PageRoute, include_in_schema=False)
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "units": ("quintal_kg", "quintal_form", "carga_kg", "carga_form", "bag_kg", "manzana_ha"),
    "way": (
        "outturn", "outturn_from", "outturn_to", "delivered_share", "local_sales_share", "seconds_share", "lag_days",
    ),
    "yield": ("base_yield_kg", "base_yield_basis", "base_yield_form", "altitude_band"),
}  # fmt: skip
"""What is asked, in the order in which an office thinks of it."""
_CHOICES: Final = {"base_yield_basis": ("planted", "bearing", "hive"), "altitude_band": ("low", "middle", "high")}
_SHARES: Final = ("delivered_share", "local_sales_share", "seconds_share")
"""Asked in percent, kept from 0 to 1."""


class Field(NamedTuple):
    """One question of the form: what stands in it, what may, and what is wrong with it."""

    name: str
    value: str
    choices: tuple[str, ...]
    low: float
    high: float
    is_percent: bool
    problem: bool
    now: str


class Given(NamedTuple):
    """What somebody typed, as typed."""

    version: int
    name: str
    country: str
    crop: str
    settings: Mapping[str, str]


@router.get(f"{AT}/settings")
def show(
    request: Request,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("cooperatives.change")],
    saved: bool = False,
) -> Response:
    with asked.store.read(asked.scope) as tx:
        owner = cooperative(tx, cooperative_id)
    return _page(request, owner, _stored(owner), saved=saved)


@router.post(f"{AT}/settings")
def save(
    request: Request,
    *,
    cooperative_id: CooperativeId,
    asked: Annotated[Asked, may("cooperatives.change")],
    version: Annotated[int, Form(ge=0, le=2**53)],
    name: Annotated[Name, Form()],
    country: Annotated[Country, Form()] = "",
    crop: Annotated[Country, Form()] = "",
    setting: Annotated[list[str], Form(max_length=50)],
    value: Annotated[list[Text], Form(max_length=50)],
) -> Response:
    """Keep the form, where nobody else changed it since it was opened; else show both."""
    given = Given(version, name, country, crop, dict(zip(setting, value, strict=False)))
    with asked.store.read(asked.scope) as tx:
        owner = cooperative(tx, cooperative_id)
    told, wrong = read_form(given.settings)
    if wrong:
        return _page(request, owner, given, wrong=wrong, status=422)
    kept = {name: told for name, told in owner["settings"].items() if name not in SETTING_NAMES}
    values = {"name": name, "country": country, "crop": crop, "settings": {**kept, **told}}
    try:
        put_change(asked, cooperative_id, values, version=version)
    except ChangedError:
        with asked.store.read(asked.scope) as tx:
            newer = cooperative(tx, cooperative_id)
        return _page(request, newer, given._replace(version=newer["version"]), changed=True, status=412)
    except GeomapError as error:
        return _page(request, owner, given, error=error, status=422)
    return go(f"/office/{cooperative_id}/settings?saved=1")


def read_form(typed: Mapping[str, str]) -> tuple[dict[str, float | str], list[str]]:
    """The settings that a form tells, and the names of those that cannot be; what is empty is not told.

    Examples
    --------
    >>> read_form({"quintal_kg": "46", "seconds_share": "9,5", "bag_kg": "", "manzana_ha": "7"})
    ({'quintal_kg': 46.0, 'seconds_share': 0.095}, ['manzana_ha'])
    """
    told: dict[str, float | str] = {}
    wrong: list[str] = []
    for name in SETTING_NAMES[1:]:
        text = typed.get(name, "").strip()
        if not text:
            continue
        if name in NUMBERS:
            number = _number(text) / (100 if name in _SHARES else 1)
            low, high = _bounds(name)
            if low <= number <= high:
                told[name] = round(number, 10)
            else:
                wrong.append(name)
        elif text in _choices(name):
            told[name] = text
        else:
            wrong.append(name)
    return told, wrong


def _number(text: str) -> float:
    """A number as people of any of our languages write one without thousands; NaN where it is none."""
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return math.nan


def _bounds(name: str) -> tuple[float, float]:
    row = setting_row(name)
    return float(row["low"]), float(row["high"])


def _choices(name: str) -> tuple[str, ...]:
    if name in FORMS:
        from geomap import reference

        return tuple(str(form) for form in reference.table("forms")["form"])
    return _CHOICES.get(name, ())


def _stored(owner: Mapping[str, Any]) -> Given:
    told = {name: _typed(name, owner["settings"].get(name)) for name in SETTING_NAMES[1:]}
    return Given(owner["version"], owner["name"], owner["country"], owner["crop"], told)


def _typed(name: str, value: Any) -> str:
    """A value as it stands in its field."""
    if value in (None, ""):
        return ""
    if isinstance(value, int | float):
        return f"{value * (100 if name in _SHARES else 1):.10g}"
    return str(value)


def _page(
    request: Request,
    owner: Mapping[str, Any],
    given: Given,
    *,
    wrong: Sequence[str] = (),
    changed: bool = False,
    saved: bool = False,
    error: GeomapError | None = None,
    status: int = 200,
) -> Response:
    return page(
        request,
        "settings.html",
        status=status,
        cooperative=owner,
        tab="overview",
        given=given,
        now=_stored(owner) if changed else given,
        groups={
            group: [_field(name, owner, given, wrong, changed) for name in names] for group, names in GROUPS.items()
        },
        crops=crop_names(),
        countries=_countries(request),
        wrong=wrong,
        changed=changed,
        saved=saved,
        error=error,
    )


def _field(name: str, owner: Mapping[str, Any], given: Given, wrong: Sequence[str], changed: bool) -> Field:
    choices = _choices(name)
    low, high = _bounds(name) if name in NUMBERS else (0.0, 0.0)
    times = 100 if name in _SHARES else 1
    typed, stored = given.settings.get(name, ""), _typed(name, owner["settings"].get(name))
    now = (stored or "–") if changed and stored != typed else ""
    return Field(name, typed, choices, low * times, high * times, name in _SHARES, name in wrong, now)


def _countries(request: Request) -> list[tuple[str, str]]:
    """Code and name of every country, by the name in the reader's language."""
    import pycountry

    texts = texts_of(request)
    named = [(country.alpha_2, texts.country(country.alpha_2)) for country in pycountry.countries]
    return sorted(named, key=lambda one: one[1].casefold())
