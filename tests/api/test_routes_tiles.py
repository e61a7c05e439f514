"""Maps of plots as tiles: who sees which plot, from which moment on, and what hostile addresses are answered."""

import io
import json
import threading

import mapbox_vector_tile
import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select

from api.tiles import OF_THE_GROUND, TileMemory
from geomap.findings import CODES
from geomap.outputs.tiles import units
from geomap.store.ids import new_id
from geomap.store.schema import audit
from geomap.store.scope import ALL, Scope

OFFICE_SEES, ANALYST_SEES = 4, 1
"""Plots of cooperative a in the world of the canaries."""


def tile_at(lon, lat, z):
    x, y = (int(value) >> (32 - z) for value in units([lon], [lat])[0])
    return f"{z}/{x}/{y}"


PLOTS = tile_at(-88.80, 14.615, 9)
"""A tile that holds all plots of the world."""


def bases(world):
    return [f"{world.at('a')}/runs/{world.ids['a']['run_id']}", f"{world.at('a')}/plots-map"]


def plots_of(client, base, tile=PLOTS):
    """Plots of a vector tile by id."""
    answer = client.get(f"{base}/tiles/{tile}.mvt")
    assert answer.status_code == 200, answer.text
    layers = mapbox_vector_tile.decode(answer.content) if answer.content else {}
    return {
        one["properties"]["plot_id"]: one["properties"] for one in layers.get("plots", {"features": []})["features"]
    }


def inked(client, base, layer, tile=PLOTS, **params):
    """Pixels of a picture that are not transparent."""
    answer = client.get(f"{base}/pictures/{layer}/{tile}.png", params=params)
    assert answer.status_code == 200, answer.text
    return int((np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA"))[..., 3] > 0).sum())


def consent(world, member_id, given):
    body = {"purpose": "analysts", "given": given}
    answer = world.clients["office"].post(f"{world.at('a')}/members/{member_id}/consents", json=body)
    assert answer.status_code == 201


# ---- who sees what ----


def test_the_office_sees_all_plots_and_an_analyst_those_of_members_who_agreed(world):
    """Under the same pseudonyms as in the lists."""
    office, analyst, told = world.clients["office"], world.clients["analyst"], world.canaries["a"]
    for base, listed in zip(bases(world), ("runs/{run_id}/plots", "plots"), strict=True):
        assert set(plots_of(office, base)) == set(told.plot_ids)
        seen = plots_of(analyst, base)
        rows = analyst.get(f"{world.at('a')}/{listed.format(**world.ids['a'])}").json()["features"]
        assert [(one["id"], one["properties"]["member_id"]) for one in rows] == [
            (plot_id, fact["member_id"]) for plot_id, fact in seen.items()
        ]
        assert len(seen) == ANALYST_SEES
        for name, count in (("office", OFFICE_SEES), ("analyst", ANALYST_SEES)):
            assert world.clients[name].get(f"{base}/tiles.json").json()["plots"] == count
        assert inked(office, base, "findings") > inked(analyst, base, "findings") > 0


def test_no_answer_to_an_analyst_names_anybody(world):
    """Tiles, answers at places and descriptions hold no name, phone, village or id of ours."""
    told, analyst = world.canaries["a"], world.clients["analyst"]
    hidden = set(told.all) - set(told.agreed)
    for base in bases(world):
        texts = [analyst.get(f"{base}/tiles.json").text, analyst.get(f"{base}/legend/findings").text]
        for z in range(20):
            texts.append(
                analyst.get(f"{base}/tiles/{tile_at(-88.8195, 14.6136, z)}.mvt").content.decode(errors="replace")
            )
        for i in range(4):
            place = {"lon": -88.8195 + i / 100, "lat": 14.6136 + 0.002 * i, "z": 5}
            texts.append(analyst.get(f"{base}/at", params=place).text)
        assert [one for one in hidden if any(one in text for text in texts)] == []


def test_consent_that_is_taken_back_counts_with_the_next_tile(world):
    """Also for a client that comes with the tag of what it has."""
    analyst, told = world.clients["analyst"], world.canaries["a"]
    for base in bases(world):
        picture = f"{base}/pictures/findings/{PLOTS}.png"
        tag = analyst.get(picture).headers["etag"]
        assert analyst.get(picture, headers={"If-None-Match": tag}).status_code == 304
        consent(world, told.member_ids[0], False)
        assert analyst.get(picture, headers={"If-None-Match": tag}).status_code == 200
        assert (plots_of(analyst, base), inked(analyst, base, "findings")) == ({}, 0)
        assert analyst.get(f"{base}/tiles.json").json()["plots"] == 0
        assert analyst.get(f"{base}/at", params={"lon": -88.8195, "lat": 14.6136, "z": 8}).json()["plots"] == []
        consent(world, told.member_ids[0], True)
        assert len(plots_of(analyst, base)) == ANALYST_SEES


def test_a_share_of_somebody_who_did_not_agree_counts_with_the_next_tile(world):
    told, analyst = world.canaries["a"], world.clients["analyst"]
    assert [len(plots_of(analyst, base)) for base in bases(world)] == [1, 1]
    rows = "plot_id,member_id,share\n" + "".join(f"{told.plot_ids[0]},{told.member_ids[i]},0.5\n" for i in (0, 2))
    sent = world.clients["office"].post(
        f"{world.at('a')}/imports", files={"file": ("shares.csv", rows)}, data={"kind": "shares"}
    )
    assert sent.status_code == 201, sent.text
    assert [len(plots_of(analyst, base)) for base in bases(world)] == [0, 0]


def test_a_member_who_is_erased_is_on_no_tile(world):
    told, office = world.canaries["a"], world.clients["office"]
    before = [set(plots_of(office, base)) for base in bases(world)]
    assert office.delete(f"{world.at('a')}/members/{told.member_ids[1]}").status_code < 300
    for base, old in zip(bases(world), before, strict=True):
        assert set(plots_of(office, base)) == old - {told.plot_ids[1]}
        for name in ("office", "analyst"):
            answer = world.clients[name].get(f"{base}/at", params={"lon": -88.8095, "lat": 14.6156, "z": 17})
            assert told.member_ids[1] not in answer.text


def test_a_grant_that_is_taken_back_closes_all_tiles(world):
    office, analyst, at = world.clients["office"], world.clients["analyst"], world.at("a")
    assert len(plots_of(analyst, bases(world)[0])) == 1
    mine = [row for row in office.get(f"{at}/grants").json()["rows"] if row["account_id"] == world.accounts["analyst"]]
    assert office.delete(f"{at}/grants/{mine[0]['grant_id']}").status_code == 200
    for base in bases(world):
        for part in (f"tiles/{PLOTS}.mvt", f"pictures/findings/{PLOTS}.png", "tiles.json", "at?lon=-88.8&lat=14.6"):
            assert analyst.get(f"{base}/{part}").status_code == 404


def test_a_plot_that_is_drawn_anew_moves_at_once(light_world):
    office, base = light_world.clients["office"], bases(light_world)[1]
    plot_id = light_world.canaries["a"].plot_ids[0]
    feature = office.get(f"{light_world.at('a')}/plots/{plot_id}").json()
    ring = [[-80.0, 10.0], [-79.99, 10.0], [-79.99, 10.01], [-80.0, 10.0]]
    feature = {key: feature[key] for key in ("type", "properties")} | {
        "geometry": {"type": "Polygon", "coordinates": [ring]}
    }
    feature["properties"] = {"member_id": light_world.canaries["a"].member_ids[0]}
    assert plot_id not in plots_of(office, base, tile_at(-80, 10, 9))
    answer = office.put(f"{light_world.at('a')}/plots/{plot_id}", json=feature)
    assert answer.status_code == 200, answer.text
    assert plot_id in plots_of(office, base, tile_at(-80, 10, 9))
    assert plot_id not in plots_of(office, base)
    assert plot_id in plots_of(office, bases(light_world)[0])  # a run stays what it was


def test_an_analyst_is_told_of_findings_of_the_ground_alone():
    assert set(CODES) >= OF_THE_GROUND
    people = {
        code for code in CODES if any(word in code for word in ("member", "deliver", "share", "claim", "decided"))
    }
    assert not people & OF_THE_GROUND


# ---- what is answered ----


def test_a_description_has_what_tilejson_asks_for(light_world):
    """TileJSON 3.0.0: tilejson, tiles and vector_layers are required; each layer has an id and its fields."""
    for base in bases(light_world):
        told = light_world.clients["office"].get(f"{base}/tiles.json").json()
        assert told["tilejson"] == "3.0.0"
        assert told["tiles"] == [f"{base}/tiles/{{z}}/{{x}}/{{y}}.mvt"]
        west, south, east, north = told["bounds"]
        assert -180 <= west < east <= 180 and -90 <= south < north <= 90
        lon, lat, zoom = told["center"]
        assert west <= lon <= east and south <= lat <= north
        assert 0 <= told["minzoom"] <= zoom <= told["maxzoom"] == 22
        fields = {one["id"]: one["fields"] for one in told["vector_layers"]}
        shown = next(iter(plots_of(light_world.clients["office"], base).values()))
        assert set(shown) <= set(fields["plots"])
        assert fields["plots"]["area_ha"].endswith("(ha)")
        for layer in told["layers"]:
            assert inked(light_world.clients["office"], base, layer) > 0, layer
            legend = light_world.clients["office"].get(f"{base}/legend/{layer}").json()
            assert {"layer", "title", "unit", "items"} <= set(legend)
            assert legend["items"]


def test_numbers_of_a_tile_are_those_of_the_run(light_world):
    office, base = light_world.clients["office"], bases(light_world)[0]
    rows = {one["id"]: one["properties"] for one in office.get(f"{base}/plots").json()["features"]}
    for plot_id, fact in plots_of(office, base).items():
        columns = {"p10": "potential_p10_kg", "p90": "potential_p90_kg"}
        for field in ("potential_kg", "p10", "p90", "area_ha"):
            assert fact[field] == pytest.approx(rows[plot_id][columns.get(field, field)], rel=1e-6)
        assert fact["class"]
        at = {"lon": 0.0, "lat": 0.0}
        ring = np.array(office.get(f"{light_world.at('a')}/plots/{plot_id}").json()["geometry"]["coordinates"][0])
        at["lon"], at["lat"] = ring[:-1].mean(axis=0).tolist()
        found = office.get(f"{base}/at", params=at).json()["plots"]
        assert [(one["plot_id"], one["inside"]) for one in found] == [(plot_id, True)]
        assert found[0]["potential_kg"] == fact["potential_kg"]


def test_beside_a_plot_the_nearest_within_ten_pixels_is_found(light_world):
    """At zoom 14 a pixel is 9.6 m × cos 14.6°: 50 m beside the plot are 5 pixels, 200 m are 22."""
    office, base = light_world.clients["office"], bases(light_world)[1]
    for away_m, count in ((50, 1), (200, 0)):
        at = {"lon": -88.82 - away_m / 107_700, "lat": 14.6136, "z": 14}
        found = office.get(f"{base}/at", params=at).json()["plots"]
        assert [one["inside"] for one in found] == [False] * count


@pytest.mark.parametrize(
    ("tile", "status"),
    [
        ("0/0/0", 200), ("22/0/0", 200), ("22/4194303/4194303", 200),
        ("0/1/0", 404), ("1/0/2", 404), ("5/32/0", 404), ("22/4194304/0", 422), ("23/0/0", 422), ("-1/0/0", 422),
        ("1/-1/0", 422), ("a/0/0", 422), ("1e1/0/0", 422), ("1/0/99999999999999999999", 422), ("0x1/0/0", 422),
        ("%00/0/0", 422), ("1/0/NaN", 422),
    ],
)  # fmt: skip
def test_addresses_of_no_tile_are_refused(light_world, tile, status):
    for base in bases(light_world):
        for part in (f"tiles/{tile}.mvt", f"pictures/findings/{tile}.png"):
            answer = light_world.clients["office"].get(f"{base}/{part}")
            assert answer.status_code == status, (part, answer.text)
            if status != 200:
                assert set(answer.json()) == {"code", "detail", "where"}


@pytest.mark.parametrize("part", ["at", "at?lon=a&lat=0", "at?lon=0&lat=91", "at?lon=NaN&lat=0", "at?lon=0&lat=inf",
                                  "at?lon=0&lat=0&z=23", "pictures/nothing/0/0/0.png", "legend/nothing",
                                  "pictures/findings/0/0/0.png?size=100000"])  # fmt: skip
def test_what_is_no_place_and_no_layer_is_refused(light_world, part):
    for base in bases(light_world):
        assert light_world.clients["office"].get(f"{base}/{part}").status_code == 422


def test_a_layer_that_is_not_there_is_not_found(light_world):
    run, today = bases(light_world)
    office = light_world.clients["office"]
    assert office.get(f"{run}/pictures/plain/0/0/0.png").status_code == 404
    assert office.get(f"{today}/pictures/potential/0/0/0.png").status_code == 404
    assert office.get(f"{light_world.at('a')}/runs/{new_id()}/tiles.json").status_code == 404


def test_tiles_are_kept_by_nobody_without_asking_again(light_world):
    base = bases(light_world)[0]
    for part, media_type in ((f"tiles/{PLOTS}.mvt", "application/vnd.mapbox-vector-tile"),
                             (f"pictures/potential/{PLOTS}.png", "image/png"),
                             (f"pictures/cover/{PLOTS}.png", "image/png")):  # fmt: skip
        first = light_world.clients["office"].get(f"{base}/{part}")
        assert first.headers["content-type"] == media_type
        assert first.headers["cache-control"] == "private, no-cache"
        again = light_world.clients["office"].get(f"{base}/{part}", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert light_world.clients["office"].get(f"{base}/{part}").content == first.content


def test_fine_screens_get_four_times_the_pixels(light_world):
    base, office = bases(light_world)[0], light_world.clients["office"]
    tile = tile_at(-88.8195, 14.6136, 17)
    assert inked(office, base, "class", tile, size=512) == pytest.approx(
        4 * inked(office, base, "class", tile), rel=0.02
    )


def test_all_plots_of_a_run_come_as_one_file_for_the_office(light_world, tmp_path):
    import pyogrio

    base = bases(light_world)[0]
    answer = light_world.clients["office"].get(f"{base}/plots.pmtiles")
    assert answer.headers["content-disposition"] == 'attachment; filename="plots.pmtiles"'
    (tmp_path / "plots.pmtiles").write_bytes(answer.content)
    found = pyogrio.read_dataframe(tmp_path / "plots.pmtiles", layer="plots")
    assert set(found["plot_id"]) == set(light_world.canaries["a"].plot_ids)
    assert light_world.clients["office"].get(f"{base}/plots.pmtiles").content == answer.content


# ---- the memory ----


def test_a_look_is_written_down_once_a_day(light_world):
    base = bases(light_world)[0]
    for _ in range(3):
        inked(light_world.clients["analyst"], base, "potential")
        plots_of(light_world.clients["analyst"], base)
    with light_world.store.read(Scope("local", ALL)) as tx:
        looks = tx.fetch(select(audit).where(audit.c.account_id == light_world.accounts["analyst"]))
    assert [(row["action"], row["object"]) for row in looks] == [("plots.read", light_world.ids["a"]["run_id"])]


def test_an_index_is_made_once_while_others_wait(light_world):
    base, memory = bases(light_world)[0], light_world.service.app.state.tiles
    answers = []
    asking = [
        threading.Thread(target=lambda: answers.append(plots_of(light_world.clients["office"], base))) for _ in range(6)
    ]
    for one in asking:
        one.start()
    for one in asking:
        one.join()
    assert [len(answer) for answer in answers] == [OFFICE_SEES] * 6
    assert memory.made == 1


def test_what_does_not_touch_a_run_does_not_make_its_index_anew(light_world):
    base, memory = bases(light_world)[0], light_world.service.app.state.tiles
    for name in ("office", "analyst"):
        plots_of(light_world.clients[name], base)
    office = light_world.clients["office"]
    office.put(f"{light_world.at('a')}/members/other", json={"name": "Other"})
    for name in ("office", "analyst"):
        plots_of(light_world.clients[name], base)
    assert memory.made == 2


def test_the_memory_holds_no_more_than_it_may(light_world):
    memory = light_world.service.app.state.tiles = TileMemory(1)
    for _ in range(2):
        for base in bases(light_world):
            assert len(plots_of(light_world.clients["office"], base)) == OFFICE_SEES
    assert memory.made == 4  # each drove the other out
    assert 0 < memory.nbytes < 10_000


def test_nothing_of_the_memory_is_written_to_disk(light_world):
    before = sorted(light_world.service.work_dir.rglob("*"))
    for base in bases(light_world):
        inked(light_world.clients["office"], base, "findings")
    assert sorted(light_world.service.work_dir.rglob("*")) == before


def test_a_run_whose_map_is_gone_has_no_land_cover_and_says_so(light_world):
    base, office = bases(light_world)[0], light_world.clients["office"]
    land = light_world.service.work_dir.parent / "land.tif"
    moved = land.rename(land.with_suffix(".gone"))
    try:
        assert "cover" not in office.get(f"{base}/tiles.json").json()["layers"]
        assert office.get(f"{base}/pictures/cover/0/0/0.png").status_code == 404
        assert json.loads(office.get(f"{base}/legend/class").text)["items"]
    finally:
        moved.rename(land)
