"""The table beside a map: any order, any search, page after page, and no more read than is shown."""

import itertools
import re

import numpy as np
import pytest

from api.pages.map_table import PAGE, Wanted, analyst_part, analyst_plot, office_part
from geomap.store.plots import write_plots
from geomap.store.schema import import_findings, imports
from geomap.store.scope import ALL, Scope, Transaction

LOCAL = Scope("local", ALL, "local")
COUNT = 2 * PAGE + 20
NAMES = {"M0": "Ángel Núñez", "M1": "Zoila 100%", "M2": "", "M3": "ana"}
HOMES = {"M0": "Las Peñas", "M1": "", "M2": "El Pinabete", "M3": "Las Peñas"}


def fill(service):
    """Plots of which one in five has no member and one in seven its own community; what each is ordered by."""
    for member_id, name in NAMES.items():
        service.member(member_id, name=name, community=HOMES[member_id])
    told = {}
    with service.store.begin(LOCAL) as tx:
        rows = []
        for k in range(COUNT):
            member_id, own = f"M{k % 5}" if k % 5 < 4 else "", "Ojo de Agua" if k % 7 == 0 else ""
            plot_id = f"P{k * 37 % COUNT:03}"
            shape = None if k % 11 == 0 else square(-88.9 + k * 0.001, side=0.0002 + (k * 29 % 17) * 0.00003)
            rows.append({"plot_id": plot_id, "member_id": member_id, "community": own, "geometry": shape})
            told[plot_id] = {"member": NAMES.get(member_id) or member_id, "community": own or HOMES.get(member_id, "")}
        nothing = {"attributes": {}, "crop": "", "declared_area_ha": None, "gps_accuracy_m": None}
        write_plots(tx, service.ours, [row | nothing for row in rows], import_id="I", replace=False)
        own = {"cooperative_id": service.ours, "import_id": "I"}
        texts = dict.fromkeys(("file_name", "sha256", "reading_sha256", "account_id"), "")
        tx.insert(imports, {**own, **texts, "kind": "plots", "bytes": 0, "rows": 0, "reading": {}, "counts": {}})
        found = [(f"P{k:03}", ("note", "warn", "block")[k % 3]) for k in range(0, COUNT, 4) for _ in range(1 + k % 2)]
        tx.insert(import_findings, [{**own, "plot_id": plot_id, "code": "repaired", "severity": severity,
                                     "message": "", "action": ""} for plot_id, severity in found])  # fmt: skip
    return told


def square(west, *, side):
    import shapely

    return shapely.to_wkb(shapely.box(west, 14.6, west + side, 14.6 + side))


def pages(turn):
    """All ids forwards, and backwards from the last page."""
    forwards, part = [], turn()
    while True:
        forwards += [row["plot_id"] for row in part.rows]
        assert part.first + len(part.rows) == len(forwards)
        if not part.after:
            break
        part = turn(after=part.after)
    backwards = [row["plot_id"] for row in part.rows]
    while part.before:
        part = turn(before=part.before)
        backwards = [row["plot_id"] for row in part.rows] + backwards
    assert backwards[-len(forwards) :] == forwards  # the first page is a whole one, whatever came before it
    assert part.first == 0 and part.size == len(forwards)
    return forwards


def test_in_every_order_each_plot_is_on_one_page_forwards_and_backwards(service):
    told = fill(service)
    with service.store.read(LOCAL) as tx:

        def walked(**wanted):
            return pages(lambda **place: office_part(tx, service.ours, "", Wanted(**wanted, **place)))

        for down in (False, True):
            assert walked(down=down) == sorted(told, reverse=down)
            for sort in ("member", "community"):
                known = sorted((one for one in told if told[one][sort]), key=lambda one: one)
                known.sort(key=lambda one: told[one][sort].casefold(), reverse=down)
                assert walked(sort=sort, down=down) == known + sorted(set(told) - set(known)), sort
            rows = {row["plot_id"]: row for row in _all(tx, service.ours)}
            for sort, key in (("ha", lambda row: row["area_ha"]), ("findings", _grade)):
                found = [rows[one] for one in walked(sort=sort, down=down)]
                known = [key(row) for row in found if key(row) is not None]
                assert known == sorted(known, reverse=down) and len(set(known)) > 2, sort
                assert [key(row) for row in found][len(known) :] == [None] * (COUNT - len(known))


def _all(tx, cooperative_id):
    after = ""
    while True:
        part = office_part(tx, cooperative_id, "", Wanted(after=after))
        yield from part.rows
        if not (after := part.after):
            return


def _grade(row):
    return (("note", "warn", "block").index(row["worst"]), row["findings"]) if row["worst"] else None


@pytest.mark.parametrize(
    ("search", "found"),
    [("p077", lambda plot, one: plot == "P077"), ("ÁNGEL n", lambda plot, one: one["member"] == "Ángel Núñez"),
     ("angel", lambda plot, one: False), ("0%", lambda plot, one: one["member"] == "Zoila 100%"),
     ("m2", lambda plot, one: one["member"] == "M2"), ("las peñas", lambda plot, one: one["community"] == "Las Peñas"),
     ("ojo de", lambda plot, one: one["community"] == "Ojo de Agua"), ("_", lambda plot, one: False)],
)  # fmt: skip
def test_a_plot_is_found_by_its_id_its_member_or_its_community_wherever_it_stands(service, search, found):
    told = fill(service)
    expected = sorted(plot for plot, one in told.items() if found(plot, one))
    with service.store.read(LOCAL) as tx:
        turn = lambda **place: office_part(tx, service.ours, "", Wanted(search=search, **place))  # noqa: E731
        assert (pages(turn) if expected else [row["plot_id"] for row in turn().rows]) == expected


def test_a_page_in_the_order_of_the_ids_reads_no_more_than_it_shows(light_service, monkeypatch):
    fill(light_service)
    read = []
    fetch = Transaction.fetch
    monkeypatch.setattr(Transaction, "fetch", lambda *given: [(rows := fetch(*given)), read.append(len(rows))][0])
    for place in ({}, {"after": "P050"}, {"before": "P110"}):
        with light_service.store.read(LOCAL) as tx:
            part = office_part(tx, light_service.ours, "", Wanted(**place))
        assert len(part.rows) == PAGE and part.size == COUNT
    assert read and max(read) <= PAGE


def test_a_run_is_paged_searched_and_ordered_on_either_database(stored_run):
    run_id = stored_run.run["run_id"]
    ours = stored_run.service.ours
    with stored_run.service.store.read(LOCAL) as tx:

        def walked(**wanted):
            return pages(lambda **place: office_part(tx, ours, run_id, Wanted(**wanted, **place)))

        by_id = walked()
        assert by_id == sorted(by_id) and len(set(by_id)) == len(by_id) > PAGE
        for sort, name in (("ha", "area_ha"), ("kg", "potential_kg")):
            ordered = walked(sort=sort, down=True)
            part = office_part(tx, ours, run_id, Wanted(sort=sort, down=True))
            known = [row[name] for row in part.rows]
            assert known == sorted(known, reverse=True) and set(ordered) == set(by_id)
        assert set(walked(sort="findings")) == set(walked(sort="community")) == set(by_id)
        (found,) = office_part(tx, ours, run_id, Wanted(search=by_id[-1])).rows
        assert found["plot_id"] == by_id[-1] and found["place"] and found["potential_kg"] is not None
        own = office_part(tx, ours, run_id, Wanted(search=found["member_id"]))
        assert found["plot_id"] in [row["plot_id"] for row in own.rows]


def test_links_of_the_page_lead_through_the_list_and_keep_its_order(light_service):
    fill(light_service)
    at, seen = f"/office/{light_service.ours}/map", []
    address = f"{at}?sort=ha&down=1&search=p"
    for _ in itertools.count():
        page = light_service.office.get(address).text
        seen += re.findall(r'<tr data-plot="(\w+)"', page)
        following = re.search(r'href="(\?[^"]*after=\w+)"', page)
        if following is None:
            break
        address = at + following[1].replace("&amp;", "&")
    assert len(seen) == len(set(seen)) == COUNT
    for gone in ({"after": "ZZZ"}, {"after": "P1xx", "sort": "ha"}, {"before": "A"}):
        page = light_service.office.get(at, params=gone).text
        assert page.count('<tr data-plot="') == PAGE and "before=" not in page  # the first page


def test_an_analysts_table_has_the_same_orders_and_holds_no_plot_twice():
    import pyarrow as pa
    import shapely

    from geomap.outputs.tiles import TileIndex

    rng = np.random.default_rng(5)
    ids = [f"L{k:03}" for k in rng.permutation(COUNT)]
    members = [f"m{k % 13:02}" for k in range(COUNT)]
    ha = np.where(np.arange(COUNT) % 9 == 0, np.nan, rng.integers(1, 30, COUNT) / 4)
    shapes = [shapely.box(-88.9 + k * 0.001, 14.6, -88.8995 + k * 0.001, 14.6005) for k in range(COUNT)]
    texts = {"plot_id": pa.array(ids), "member_id": pa.array(members)}
    index = TileIndex.of(shapes, texts, {"area_ha": ha}, finding=np.arange(COUNT) % 4)
    of = {ids[k]: (members[k], None if np.isnan(ha[k]) else float(ha[k]), k % 4 or None) for k in range(COUNT)}

    def walked(**wanted):
        return pages(lambda **place: analyst_part(index, Wanted(**wanted, **place)))

    for down in (False, True):
        assert walked(down=down) == sorted(of, reverse=down)
        for sort, number in (("member", 0), ("ha", 1), ("findings", 2)):
            found = walked(sort=sort, down=down)
            known = sorted(one for one in of if of[one][number] is not None)
            known.sort(key=lambda one: of[one][number], reverse=down)
            assert found == known + sorted(set(of) - set(known)), sort
    held = [row["member_id"] for row in analyst_part(index, Wanted(search="M07")).rows]
    assert held == ["m07"] * 9  # of 0 to 119: 7, 20, … 111
    row = analyst_plot(index, ids[3])
    assert row is not None and (row["member_id"], row["name"], row["community"]) == ("m03", "", "")
    assert row["place"][0] == pytest.approx(-88.89675, abs=1e-4) and analyst_plot(index, "nobody") is None
