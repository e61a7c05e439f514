"""What a cooperative's files say of plots and members beside the outline: made names, and numbers typed by people."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from geomap.simulate.plots import Floats, even_normal

MEASURED_TO_DECLARED: Final = 0.61
RATIO_LOG_SD: Final = 0.81
GPS_MEDIAN_M: Final = 5.9
_FIRST: Final = (
    "María José", "Juan", "Rosa", "Santos", "Marta", "José Ángel", "Dilcia", "Óscar", "Reina", "Wilmer", "Suyapa",
    "Fredy", "Iris", "Héctor", "Blanca", "Nahúm", "Gladis", "Elvin", "Concepción", "Darío", "Norma", "Selvin",
)  # fmt: skip
_LAST: Final = (
    "Mejía", "Alvarado", "Pineda", "Guevara", "Lara", "Melgar", "Orellana", "Perdomo", "Zúniga", "Tábora", "Cálix",
    "D'Ávila", "Enamorado", "Núñez", "Rápalo", "Licona", "Portillo", "Urquía", "Benítez", "Santamaría",
)  # fmt: skip
_VARIETIES: Final = ("Lempira", "IHCAFE 90", "Catuaí", "Parainema", "Típica", "Bourbon")


def draw_declared(rng: np.random.Generator, area_ha: Floats) -> Floats:
    """Hectares as people declare them: their sum is the true sum / 0.61, the log of single ratios spreads by 0.81.

    Rounded to 0.05 ha below one hectare and to 0.25 above.

    Source: method, the published comparison of measured and declared areas of smallholders.
    """
    declared = area_ha * np.exp(RATIO_LOG_SD * even_normal(rng, len(area_ha)))
    declared *= area_ha.sum() / MEASURED_TO_DECLARED / declared.sum()
    step = np.where(declared < 1, 0.05, 0.25)
    return np.maximum(np.rint(declared / step), 1) * step


def describe_plots(rng: np.random.Generator, area_ha: Floats, *, crop: str = "coffee") -> pd.DataFrame:
    """Attributes of plots, one row per area.

    Columns: crop, declared_area_ha (text), gps_accuracy_m (median 5.9, one in twelve missing), variety,
    planted_year (one in six missing), certification, certified_from, certified_until ("" where none).
    """
    count = len(area_ha)
    accuracy = np.round(GPS_MEDIAN_M * np.exp(0.4 * even_normal(rng, count)), 1)
    year = 2021 - np.floor(rng.gamma(2.0, 6.0, size=count)).clip(0, 45)
    year[rng.random(count) < 0.05] = 2022
    certification = rng.choice(["", "Organic", "Fairtrade"], size=count, p=[0.55, 0.25, 0.2])
    since = rng.integers(2018, 2025, size=count)
    return pd.DataFrame(
        {
            "crop": pd.Series([crop] * count, dtype="str"),
            "declared_area_ha": pd.Series([f"{value:g}" for value in draw_declared(rng, area_ha)], dtype="str"),
            "gps_accuracy_m": np.where(rng.random(count) < 1 / 12, np.nan, accuracy),
            "variety": pd.Series(rng.choice(_VARIETIES, size=count, p=[0.3, 0.22, 0.2, 0.12, 0.1, 0.06]), dtype="str"),
            "planted_year": np.where(rng.random(count) < 1 / 6, np.nan, year),
            "certification": pd.Series(certification, dtype="str"),
            "certified_from": _dates(certification, since, "-03-01"),
            "certified_until": _dates(certification, since + 3, "-02-28"),
        }
    )


def _dates(certification: NDArray[np.str_], year: NDArray[np.int64], day: str) -> pd.Series:
    return pd.Series([f"{y}{day}" if c else "" for c, y in zip(certification, year, strict=True)], dtype="str")


def draw_names(rng: np.random.Generator, count: int) -> list[str]:
    """Invented people: a first name and two surnames from small lists, drawn apart."""
    parts = (rng.choice(_FIRST, size=count), rng.choice(_LAST, size=count), rng.choice(_LAST, size=count))
    return [" ".join(words) for words in zip(*parts, strict=True)]


def draw_settings(rng: np.random.Generator, cooperatives: Sequence[str]) -> pd.DataFrame:
    """What each office told once: its quintal, what it sells locally, and its share of seconds."""
    return pd.DataFrame(
        {
            "cooperative_id": list(cooperatives),
            "quintal_kg": 46,
            "quintal_form": "green",
            "local_sales_share": np.round(rng.uniform(0.03, 0.10, size=len(cooperatives)), 3),
            "seconds_share": np.round(rng.uniform(0.06, 0.12, size=len(cooperatives)), 3),
        }
    )


def draw_contracts(rng: np.random.Generator, delivered_green_kg: "pd.Series[float]") -> pd.DataFrame:
    """Contracts of each cooperative for 2026/27: two of any coffee, one of organic, in whole bags of 69 kg."""
    kinds = (
        ("Invented Roasters", "", "2027-02", 0.25),
        ("Casa Inventada", "", "2027-05", 0.3),
        ("Invented Roasters", "organic", "2027-04", 0.02),
    )
    rows = []
    for cooperative, green in delivered_green_kg.sort_index().items():
        for buyer, certification, month, share in kinds:
            bags = max(1, round(float(green) * share * rng.uniform(0.8, 1.2) / 69))
            rows.append((cooperative, buyer, bags * 69, "green", certification, month))
    return pd.DataFrame(rows, columns=["cooperative_id", "buyer", "kg", "form", "certification", "month"])
