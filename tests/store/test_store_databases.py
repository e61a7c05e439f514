"""The two databases behave alike: a store made empty for each test."""

import pytest
from sqlalchemy import select

from geomap.store import Scope, Store
from geomap.store.schema import cooperatives, plots

LOCAL = Scope("local", frozenset({"*"}))
SQUARE = bytes.fromhex("0101000000000000000000F03F0000000000000040")  # POINT (1 2), little-endian


@pytest.mark.parametrize("time", ["first", "second"])
def test_each_test_finds_an_empty_store(store: Store, time):
    with store.begin(LOCAL) as tx:
        assert tx.fetch(select(cooperatives.c.code)) == []
        tx.insert(cooperatives, {"cooperative_id": time, "code": "C1", "name": "One"})


def test_a_shape_comes_back_as_the_bytes_that_were_given(store: Store):
    with store.begin(LOCAL) as tx:
        tx.insert(cooperatives, {"cooperative_id": "c1", "code": "C1", "name": "One"})
        tx.insert(
            plots,
            {"cooperative_id": "c1", "plot_id": "p1", "version": 1, "geometry": SQUARE, "sha256": "", "account_id": ""},
        )
    with store.read(LOCAL) as tx:
        assert [bytes(row["geometry"]) for row in tx.fetch(select(plots.c.geometry))] == [SQUARE]
