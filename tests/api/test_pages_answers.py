"""What the page of an estimate answers beside its sums; each expected number is a sum a reader can do."""

from api.pages.answers import answers

FIGURES = {"quantity": "supply", "kg": {"mean": 1000.0, "low": 800.0, "middle": 990.0, "high": 1300.0}}


def ready(month, certification, supply, apart=0.0, **more):
    rest = {"contracts_kg": 0.0, "available_kg": 0.0, "available_p10_kg": 0.0, "short_kg": 0.0, "chance_covered": 1.0}
    own = {"month": month, "certification": certification, "supply_kg": supply, "local_and_seconds_kg": apart}
    return {**own, **rest, **more}


def answered(figures=FIGURES, **tables):
    return answers(lambda name: tables.get(name, []), figures)


def test_a_certificate_and_what_can_be_exported_are_the_same_share_of_every_case():
    rows = [
        ready("2027-01", "", 400.0, 40.0),
        ready("2027-05", None, 1000.0, 100.0),
        ready("2027-05", "organic", 250.0),
    ]
    found = answered(available=rows)
    organic = {"name": "organic", "share": 0.25, "mean": 250.0, "low": 200.0, "middle": 247.5, "high": 325.0}
    assert found["certified"] == [organic]  # 250 of 1000
    assert found["exportable"] == {"mean": 900.0, "low": 720.0, "middle": 891.0, "high": 1170.0}  # 1 - 100/1000


def test_contracts_are_those_of_the_whole_season_and_all_of_them_stand_first():
    rows = [
        ready("2027-01", "", 400.0, contracts_kg=300.0),
        ready("2027-05", "organic", 250.0, contracts_kg=260.0, short_kg=10.0, chance_covered=0.4),
        ready("2027-05", "", 1000.0, contracts_kg=700.0, available_kg=300.0, chance_covered=0.4),
    ]
    found = answered(available=rows)["contracts"]
    assert [(row["name"], row["kg"], row["left"], row["short"]) for row in found] == [
        ("", 700.0, 300.0, 0.0),
        ("organic", 260.0, 0.0, 10.0),
    ]


def test_of_past_seasons_the_latest_stands_first_and_rules_of_thumb_are_left_out():
    def season(name, rule, actual, mean):
        return {"season": name, "rule": rule, "actual_kg": actual, "mean_kg": mean, "p10_kg": 80.0, "p90_kg": 120.0}

    rows = [
        season("2024/25", "model", 100.0, 110.0),
        season("2025/26", "mean of past seasons", 125.0, 90.0),
        season("2025/26", "model", 125.0, 100.0),
    ]
    found = [(row["season"], round(row["off"], 6), row["inside"]) for row in answered(backtest=rows)["past"]]
    assert found == [("2025/26", -0.2, False), ("2024/25", 0.1, True)]  # 100/125 - 1, 110/100 - 1


def test_nothing_is_answered_that_a_run_does_not_know():
    nothing = {"certified": [], "exportable": None, "contracts": [], "shock": None, "past": []}
    assert answered() == nothing


def test_without_supply_certificates_are_told_of_the_potential():
    figures = {"quantity": "potential", "kg": {"mean": 1000.0, "low": None, "middle": None, "high": None}}
    row = {"id": "organic", "potential_kg": 300.0, "potential_p10_kg": 200.0, "potential_p90_kg": 450.0}
    (found,) = answered(figures, by_certification=[row, {"id": "", "potential_kg": 700.0}])["certified"]
    assert (found["name"], found["mean"], found["low"], found["share"]) == ("organic", 300.0, 200.0, 0.3)
