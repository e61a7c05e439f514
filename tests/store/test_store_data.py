"""Cooperatives, members, plots, decisions and the audit log, on both databases."""

import pytest
import shapely

from geomap.errors import NumberError, UnknownNameError
from geomap.store import Scope, Store, audit
from geomap.store.cooperatives import add_cooperative, change_cooperative, cooperative, cooperatives
from geomap.store.decisions import decisions, put_decision
from geomap.store.errors import ChangedError, ConflictError, NotAllowedError, NotFoundError
from geomap.store.given import MOST_CORNERS, ShapeError, TextError, given_shape
from geomap.store.ids import new_id
from geomap.store.members import consents, members, put_member, record_consent
from geomap.store.plots import current_plots, end_plot, plot, plot_history, put_plot
from geomap.store.scope import ALL

LOCAL = Scope("local", ALL, "someone")


@pytest.fixture
def coop(store: Store) -> str:
    with store.begin(LOCAL) as tx:
        return add_cooperative(tx, code="Flor", name="Flor del Pinar", country="Honduras", crop="café")


def square(west: float, south: float, side: float = 0.001) -> bytes:
    return bytes(shapely.to_wkb(shapely.box(west, south, west + side, south + side)))


def test_ids_are_random_and_fit_an_address() -> None:
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(one) == 22 and one.replace("-", "").replace("_", "").isalnum() for one in ids)


# ---- cooperatives ----


def test_a_cooperative_has_its_country_and_crop_as_the_tables_write_them(store: Store, coop: str) -> None:
    with store.read(LOCAL) as tx:
        row = cooperative(tx, coop)
    assert (row["code"], row["country"], row["crop"], row["settings"], row["version"]) == (
        "Flor",
        "HN",
        "coffee",
        {},
        1,
    )


def test_two_cooperatives_cannot_share_a_code(store: Store, coop: str) -> None:
    with pytest.raises(ConflictError), store.begin(LOCAL) as tx:
        add_cooperative(tx, code=" Flor ", name="Another")


def test_a_cooperative_is_changed_only_by_who_saw_its_latest_version(store: Store, coop: str) -> None:
    with store.begin(LOCAL) as tx:
        row = change_cooperative(tx, coop, {"settings": {"quintal_kg": 46}}, version=1)
    assert (row["version"], row["settings"], row["name"]) == (2, {"quintal_kg": 46}, "Flor del Pinar")
    with pytest.raises(ChangedError), store.begin(LOCAL) as tx:
        change_cooperative(tx, coop, {"name": "Other"}, version=1)


def test_an_unknown_crop_or_country_is_not_kept(store: Store, coop: str) -> None:
    for values in ({"crop": "gold"}, {"country": "Atlantis"}):
        with pytest.raises(UnknownNameError), store.begin(LOCAL) as tx:
            change_cooperative(tx, coop, values, version=1)


def test_cooperatives_are_listed_page_by_page_and_only_within_the_scope(store: Store) -> None:
    with store.begin(LOCAL) as tx:
        ids = sorted(add_cooperative(tx, code=f"C{n}", name=f"N{n}") for n in range(5))
    with store.read(LOCAL) as tx:
        first = [row["cooperative_id"] for row in cooperatives(tx, limit=3)]
        rest = [row["cooperative_id"] for row in cooperatives(tx, after=first[-1], limit=3)]
    assert first + rest == ids
    with store.read(Scope("coop_admin", frozenset({ids[1]}))) as tx:
        assert [row["cooperative_id"] for row in cooperatives(tx)] == [ids[1]]
        with pytest.raises(NotFoundError):
            cooperative(tx, ids[0])


def test_missing_and_foreign_are_told_in_the_same_words(store: Store, coop: str) -> None:
    words = []
    for one in (coop, "no such id"):
        with store.read(Scope("coop_admin", frozenset({"mine"}))) as tx, pytest.raises(NotFoundError) as found:
            cooperative(tx, one)
        words.append(str(found.value))
    assert words[0] == words[1]


# ---- members ----


def test_a_member_has_name_and_phone_and_equal_values_are_no_new_version(store: Store, coop: str) -> None:
    values = {"name": "Dilcia", "phone": "+504 1", "declared_area_ha": 0.5, "attributes": {"joined": "2019-06-20"}}
    with store.begin(LOCAL) as tx:
        first = put_member(tx, coop, "M1", values, version=0)
        again = put_member(tx, coop, "M1", values)
        moved = put_member(tx, coop, "M1", values | {"community": "El Pinabete"}, version=1)
    assert (first["name"], first["phone"], first["attributes"]) == ("Dilcia", "+504 1", {"joined": "2019-06-20"})
    assert [row["version"] for row in (first, again, moved)] == [1, 1, 2]


def test_a_member_is_changed_only_by_who_saw_the_latest_version(store: Store, coop: str) -> None:
    with store.begin(LOCAL) as tx:
        put_member(tx, coop, "M1", {"name": "A"})
    for version in (0, 2):
        with pytest.raises(ChangedError), store.begin(LOCAL) as tx:
            put_member(tx, coop, "M1", {"name": "B"}, version=version)
    with pytest.raises(ChangedError), store.begin(LOCAL) as tx:
        put_member(tx, coop, "M2", {"name": "B"}, version=1)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"name": "a\x00b"}, TextError),
        ({"name": "\u0085"}, TextError),
        ({"name": "x" * 1001}, TextError),
        ({"name": 7}, TextError),
        ({"declared_area_ha": -1}, NumberError),
        ({"declared_area_ha": True}, NumberError),
        ({"attributes": {"a": float("inf")}}, NumberError),
        ({"attributes": {f"c{n}": 1 for n in range(65)}}, TextError),
        ({"attributes": {"a": "\ud800"}}, TextError),
    ],
)
def test_what_cannot_be_kept_is_refused_and_nothing_changes(
    store: Store, coop: str, values: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error), store.begin(LOCAL) as tx:
        put_member(tx, coop, "M1", values)
    with store.read(LOCAL) as tx:
        assert members(tx, coop) == []


def test_texts_are_kept_in_one_form_of_unicode(store: Store, coop: str) -> None:
    with store.begin(LOCAL) as tx:
        row = put_member(tx, coop, "M1", {"name": "Jose\u0301"})
    assert row["name"] == "José"


def test_the_last_word_on_a_consent_stands_first(store: Store, coop: str) -> None:
    with store.begin(LOCAL) as tx:
        put_member(tx, coop, "M1", {})
        record_consent(tx, coop, "M1", purpose="analysts", given=True)
        record_consent(tx, coop, "M1", purpose="analysts", given=False)
        found = consents(tx, coop, "M1")
        with pytest.raises(NotFoundError):
            record_consent(tx, coop, "M2", purpose="analysts", given=True)
    assert [row["given"] for row in found] == [False, True]
    assert found[0]["account_id"] == "someone"


def test_an_analyst_cannot_read_members(store: Store, coop: str) -> None:
    with store.begin(LOCAL) as tx:
        put_member(tx, coop, "M1", {"name": "A"})
    with store.read(Scope("analyst", frozenset({coop}))) as tx, pytest.raises(NotAllowedError):
        members(tx, coop)


# ---- plots ----


def test_an_equal_plot_is_no_new_version_and_a_changed_one_keeps_its_history(store: Store, coop: str) -> None:
    given = {"member_id": "M1", "crop": "coffee", "geometry": square(-88, 14), "attributes": {"variety": "Catuaí"}}
    with store.begin(LOCAL) as tx:
        first = put_plot(tx, coop, "P1", given, version=0)
        again = put_plot(tx, coop, "P1", dict(reversed(given.items())))
        moved = put_plot(tx, coop, "P1", given | {"geometry": square(-88, 15)}, version=1)
        history = plot_history(tx, coop, "P1")
    assert [row["version"] for row in (first, again, moved)] == [1, 1, 2]
    assert [row["version"] for row in history] == [2, 1]
    assert history[0]["ended_at"] is None
    assert history[1]["ended_at"] >= history[1]["created_at"]
    assert history[1]["geometry"] == square(-88, 14)


def test_the_area_of_a_plot_is_geodesic(store: Store, coop: str) -> None:
    with store.begin(LOCAL) as tx:
        row = put_plot(tx, coop, "P1", {"geometry": square(108.0, 12.67)})
        point = put_plot(tx, coop, "P2", {"geometry": bytes(shapely.to_wkb(shapely.Point(1, 2)))})
    assert row["area_ha"] == pytest.approx(1.2017056342)  # the example of geomap.plots.area.area_ha
    assert point["area_ha"] is None


def test_a_plot_that_ended_is_in_no_list_and_can_come_back(store: Store, coop: str) -> None:
    with store.begin(LOCAL) as tx:
        put_plot(tx, coop, "P1", {"geometry": square(-88, 14)})
        with pytest.raises(ChangedError):
            end_plot(tx, coop, "P1", version=2)
        end_plot(tx, coop, "P1", version=1)
        assert current_plots(tx, coop) == []
        assert current_plots(tx, coop, box=(-180, -90, 180, 90)) == []
        with pytest.raises(NotFoundError):
            plot(tx, coop, "P1")
        with pytest.raises(NotFoundError):
            end_plot(tx, coop, "P1")
        assert put_plot(tx, coop, "P1", {"geometry": square(-88, 14)}, version=0)["version"] == 2


def test_a_box_finds_the_plots_that_touch_it_and_no_others(store: Store, coop: str) -> None:
    triangle = shapely.Polygon([(0, 0), (1, 0), (0, 1)])  # its own box reaches to 1, 1; the triangle does not
    with store.begin(LOCAL) as tx:
        put_plot(tx, coop, "far", {"geometry": square(10, 10)})
        put_plot(tx, coop, "near", {"geometry": bytes(shapely.to_wkb(triangle))})
        put_plot(tx, coop, "none", {"declared_area_ha": 1})
        put_plot(tx, coop, "moved", {"geometry": square(0.1, 0.1)})
        put_plot(tx, coop, "moved", {"geometry": square(10, 10)})
    with store.read(LOCAL) as tx:
        assert [row["plot_id"] for row in current_plots(tx, coop, box=(0, 0, 0.2, 0.2))] == ["near"]
        assert current_plots(tx, coop, box=(0.9, 0.9, 1, 1)) == []
        assert [row["plot_id"] for row in current_plots(tx, coop, box=(0.5, 0.5, 0.5, 0.5))] == ["near"]  # on its edge
        assert [row["plot_id"] for row in current_plots(tx, coop, box=(9, 9, 11, 11))] == ["far", "moved"]


def test_pages_of_a_box_hold_every_plot_once(store: Store, coop: str) -> None:
    with store.begin(LOCAL) as tx:
        for number in range(25):
            inside = number % 5 == 0
            put_plot(tx, coop, f"P{number:02d}", {"geometry": square(0.0005 if inside else 0.0021, 0)})
    found, after = [], ""
    with store.read(LOCAL) as tx:
        while page := current_plots(tx, coop, after=after, limit=2, box=(0, 0, 0.002, 0.002)):
            found += [row["plot_id"] for row in page]
            after = found[-1]
    assert found == ["P00", "P05", "P10", "P15", "P20"]


def test_plots_of_other_cooperatives_are_in_no_list(store: Store, coop: str) -> None:
    with store.begin(LOCAL) as tx:
        other = add_cooperative(tx, code="Other", name="Other")
        put_plot(tx, other, "P1", {"geometry": square(0, 0)})
    mine = Scope("coop_admin", frozenset({coop}))
    with store.read(mine) as tx:
        assert current_plots(tx, other) == []
        assert current_plots(tx, other, box=(-1, -1, 1, 1)) == []
    with pytest.raises(NotFoundError), store.begin(mine) as tx:
        put_plot(tx, other, "P1", {})


@pytest.mark.parametrize(
    "shape",
    [
        b"",
        b"nothing",
        shapely.to_wkb(shapely.LineString([(0, 0), (1, 1)])),
        shapely.to_wkb(shapely.Polygon()),
        shapely.to_wkb(shapely.Point(float("nan"), 0)),
        shapely.to_wkb(shapely.Point(181, 0)),
        shapely.to_wkb(shapely.Point(0, 90.1)),
        shapely.to_wkb(shapely.box(0, 0, 1e308, 1)),
        shapely.to_wkb(shapely.Polygon([(n / 1e4, (n % 2) / 10) for n in range(MOST_CORNERS + 1)])),
        shapely.to_wkb(shapely.GeometryCollection([shapely.GeometryCollection([shapely.Point(0, 0)])])),
    ],
)
def test_a_shape_that_lies_nowhere_is_refused(shape: bytes) -> None:
    with pytest.raises(ShapeError):
        given_shape(shape)


def test_heights_of_a_shape_are_dropped() -> None:
    flat = given_shape(shapely.to_wkb(shapely.Point(1, 2, 3)))
    assert flat == shapely.to_wkb(shapely.Point(1, 2))


# ---- decisions and audit ----


def test_a_decision_stands_in_place_of_the_one_before(store: Store, coop: str) -> None:
    with store.begin(LOCAL) as tx:
        put_decision(tx, coop, "P1", "keep", code="sliver")
        put_decision(tx, coop, "P1", "leave_out", code="sliver")
        put_decision(tx, coop, "P1", "same_plot", other_plot_id="P2")
        assert [row["decision"] for row in decisions(tx, coop)] == ["leave_out", "same_plot"]
        assert put_decision(tx, coop, "P1", "", code="sliver") is None
        assert [row["decision"] for row in decisions(tx, coop)] == ["same_plot"]
        with pytest.raises(UnknownNameError):
            put_decision(tx, coop, "P1", "burn")


def test_the_audit_log_tells_who_did_what_the_latest_first(store: Store, coop: str) -> None:
    with store.begin(Scope("coop_admin", frozenset({coop}), "office")) as tx:
        audit.record(tx, "members.read", cooperative_id=coop, object="M1")
        audit.record(tx, "members.change", cooperative_id=coop, object="M1", outcome="changed")
    with store.read(LOCAL) as tx:
        found = audit.entries(tx, coop)
        assert [(row["action"], row["account_id"], row["role"]) for row in found] == [
            ("members.change", "office", "coop_admin"),
            ("members.read", "office", "coop_admin"),
        ]
        assert [row["action"] for row in audit.entries(tx, coop, after=found[0]["key"])] == ["members.read"]


def test_nobody_can_change_the_audit_log(store: Store, coop: str) -> None:
    from geomap.store.schema import audit as table

    with store.begin(LOCAL) as tx:
        audit.record(tx, "members.read", cooperative_id=coop)
        with pytest.raises(NotAllowedError):
            tx.delete(table)
        with pytest.raises(NotAllowedError):
            tx.update(table, {"action": "nothing"})
