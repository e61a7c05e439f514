"""The Gaussian linear model: published tables, and independent ways to the same numbers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, sparse

from geomap.errors import NumberError
from geomap.supply.gaussian import Model, Posterior, block_pairs, learn, log_likelihood, posterior

CORN = Path(__file__).with_name("data") / "corn_soy_1988.txt"
PUBLISHED = {
    "CerroGordo": 122.195, "Hamilton": 126.228, "Worth": 106.664, "Humboldt": 108.422, "Franklin": 144.307,
    "Pocahontas": 112.159, "Winnebago": 112.780, "Wright": 122.002, "Webster": 115.344, "Hancock": 124.414,
    "Kossuth": 106.888, "Hardin": 143.031,
}  # fmt: skip


def corn() -> pd.DataFrame:
    """36 segments: the article drops record 33, and Hamilton's mean of soy pixels is 196.65."""
    table = pd.read_csv(CORN, sep="\t").drop(index=32).reset_index(drop=True)
    table.loc[table["county"] == "Hamilton", "soymean"] = 196.65
    return table


def nested_error_model(table: pd.DataFrame) -> tuple[Model, pd.DataFrame]:
    """y_cj = x_cj β + v_c + e_cj; asked for: the mean over the segments of each county that were not sampled."""
    county = pd.factorize(table["county"])[0]
    by_county = table.groupby(county)
    first, sampled = by_county.first(), by_county[["cornhect", "cornpix", "soypix"]].mean()
    share = by_county.size() / first["countysegs"]
    rest = first[["cornmean", "soymean"]].to_numpy() - share.to_numpy()[:, None] * sampled[["cornpix", "soypix"]]
    rest = rest.to_numpy() / (1 - share.to_numpy()[:, None])
    order = np.argsort(np.concatenate([county, np.arange(len(first))]), kind="stable")
    x = np.vstack([table[["cornpix", "soypix"]].to_numpy(float), rest])
    y = np.concatenate([table["cornhect"], np.full(len(first), np.nan)])[order]
    block = np.concatenate([county, np.arange(len(first))])[order]
    left, right = block_pairs(block)
    model = Model(
        y,
        block,
        {"county": np.ones(len(left)), "error": (left == right) & ~np.isnan(y[left])},
        fixed=np.column_stack([np.ones(len(x)), x])[order],
    )
    return model, first.assign(share=share, mean=sampled["cornhect"])


def test_corn_of_twelve_counties_as_published() -> None:
    """Battese, Harter and Fuller (1988), by restricted maximum likelihood."""
    model, counties = nested_error_model(corn())
    found = learn(model, {"county": 100.0, "error": 100.0}, log_sd={"county": np.inf, "error": np.inf})
    assert found["county"] == pytest.approx(140.0239, abs=5e-5)
    assert found["error"] == pytest.approx(147.2686, abs=5e-5)
    result = posterior(model, found)
    assert result.beta[0] == pytest.approx(51.0704, abs=5e-5)
    assert result.beta[1:] == pytest.approx([0.32872, -0.13457], abs=5e-6)
    share = counties["share"].to_numpy()
    estimates = dict(zip(counties["county"], share * counties["mean"] + (1 - share) * result.mean, strict=True))
    assert estimates == {name: pytest.approx(value, abs=5e-4) for name, value in PUBLISHED.items()}


def test_nested_errors_as_another_program_finds_them() -> None:
    """statsmodels' MixedLM: the same restricted likelihood, found in another way."""
    table = corn()
    fitted = sm.MixedLM.from_formula("cornhect ~ cornpix + soypix", table, groups="county").fit(reml=True, gtol=1e-10)
    model, _ = nested_error_model(table)
    found = learn(model, {"county": 50.0, "error": 50.0}, log_sd={"county": np.inf, "error": np.inf})
    assert found["error"] == pytest.approx(fitted.scale, rel=1e-4)
    assert found["county"] == pytest.approx(float(fitted.cov_re.iloc[0, 0]), rel=1e-4)
    assert log_likelihood(model, found) == pytest.approx(fitted.llf, abs=1e-6)


def area_model(y: np.ndarray, x: np.ndarray, sampling: np.ndarray) -> Model:
    """Fay and Herriot (1979): y_i = x_i β + v_i + e_i, Var(e_i) known; asked for: x_i β + v_i."""
    count = len(y)
    block = np.repeat(np.arange(count), 2)
    values = np.column_stack([y, np.full(count, np.nan)]).ravel()
    left, right = block_pairs(block)
    known = np.where((left == right) & (left % 2 == 0), np.repeat(sampling, 4), 0.0)
    return Model(values, block, {"area": np.ones(len(left)), "sampling": known}, fixed=np.repeat(x, 2, axis=0))


def test_areas_with_known_sampling_errors_as_in_fay_and_herriot() -> None:
    """EBLUP γ_i y_i + (1 − γ_i) x_i β with γ_i = A / (A + D_i), and its error g1 + g2 (Rao and Molina 2015, 6.1)."""
    rng = np.random.default_rng(5)
    x = np.column_stack([np.ones(30), rng.normal(size=30)])
    sampling = rng.uniform(0.3, 2.0, 30)
    y = x @ [3.0, 1.0] + rng.normal(size=30) + np.sqrt(sampling) * rng.normal(size=30)
    model = area_model(y, x, sampling)
    area = learn(model, {"area": 1.0}, log_sd={"area": np.inf})["area"]

    def restricted(a: float) -> float:
        inverse = np.diag(1 / (a + sampling))
        p = inverse - inverse @ x @ np.linalg.solve(x.T @ inverse @ x, x.T @ inverse)
        log_det = np.log(a + sampling).sum() + np.linalg.slogdet(x.T @ inverse @ x)[1]
        return float(-0.5 * (log_det + y @ p @ y + 28 * np.log(2 * np.pi)))

    best = optimize.minimize_scalar(lambda a: -restricted(a), bounds=(0.01, 10), options={"xatol": 1e-10})
    assert area == pytest.approx(best.x, rel=1e-5)
    assert log_likelihood(model, {"area": area}) == pytest.approx(restricted(area), abs=1e-9)
    gamma = area / (area + sampling)
    beta_cov = np.linalg.inv(x.T @ np.diag(1 / (area + sampling)) @ x)
    beta = beta_cov @ x.T @ (y / (area + sampling))
    result = posterior(model, {"area": area})
    assert result.beta == pytest.approx(beta)
    assert result.mean == pytest.approx(gamma * y + (1 - gamma) * (x @ beta))
    g2 = (1 - gamma) ** 2 * np.einsum("ij,jk,ik->i", x, beta_cov, x)
    assert result.variances() == pytest.approx(gamma * sampling + g2)


def random_model(rng: np.random.Generator, *, fixed: bool) -> tuple[Model, np.ndarray, np.ndarray]:
    """A model of a few blocks with one wide part, its dense covariance, and X."""
    block = np.sort(rng.integers(0, 4, 14))
    left, right = block_pairs(block)
    own = rng.normal(size=(14, 2))
    narrow = {"own": (own[left] * own[right]).sum(axis=1), "error": (left == right) * 1.0}
    z = rng.normal(size=(14, 3)) * (rng.random((14, 3)) < 0.5)
    y = np.where(rng.random(14) < 0.3, np.nan, rng.normal(size=14))
    y[:2], y[2] = rng.normal(size=2), np.nan
    same = block[:, None] == block
    k = 0.7 * same * (own @ own.T) + 0.5 * np.eye(14) + 2.0 * z @ z.T
    x = np.ones((14, 1)) if fixed else np.zeros((14, 0))
    return Model(y, block, narrow, {"wide": sparse.csr_array(z)}, x), k, x


VARIANCES = {"own": 0.7, "error": 0.5, "wide": 2.0}


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=40, deadline=None)
def test_blocks_and_columns_give_the_dense_answer(seed: int, fixed: bool) -> None:
    model, k, x = random_model(np.random.default_rng(seed), fixed=fixed)
    seen, asked = ~np.isnan(model.y), np.isnan(model.y)
    offset = np.linspace(0, 1, 14)
    inverse, cross = np.linalg.inv(k[np.ix_(seen, seen)]), k[np.ix_(asked, seen)]
    cov_beta = np.linalg.inv(x[seen].T @ inverse @ x[seen])
    beta = cov_beta @ x[seen].T @ inverse @ (model.y - offset)[seen]
    rest = x[asked] - cross @ inverse @ x[seen]
    mean = offset[asked] + cross @ inverse @ (model.y - offset)[seen] + rest @ beta
    cov = k[np.ix_(asked, asked)] - cross @ inverse @ cross.T + rest @ cov_beta @ rest.T
    result = posterior(model, VARIANCES, offset)
    every = np.eye(asked.sum())
    assert result.of(every)[0] == pytest.approx(mean, abs=1e-9)
    assert result.of(every)[1] == pytest.approx(cov, abs=1e-9)
    assert result.variances() == pytest.approx(np.diag(cov), abs=1e-9)
    weights = np.linspace(-1, 1, asked.sum())
    assert result.of(weights)[1].item() == pytest.approx(weights @ cov @ weights, abs=1e-9)


def test_a_part_may_stand_within_blocks_or_as_columns() -> None:
    table = corn()
    model, _ = nested_error_model(table)
    columns = sparse.csr_array(np.eye(12)[model.block])
    wide = Model(model.y, model.block, {"error": model.narrow["error"]}, {"county": columns}, model.fixed)
    variances = {"county": 140.0, "error": 147.0}
    one, other = posterior(model, variances), posterior(wide, variances)
    assert one.mean == pytest.approx(other.mean, rel=1e-10)
    assert one.of(np.eye(12))[1] == pytest.approx(other.of(np.eye(12))[1], rel=1e-8, abs=1e-8)
    assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-12)


@given(st.integers(0, 10_000), st.floats(-5, 5))
@settings(max_examples=20, deadline=None)
def test_with_a_flat_mean_a_shift_of_all_values_shifts_the_answer_as_much(seed: int, shift: float) -> None:
    model, _, _ = random_model(np.random.default_rng(seed), fixed=True)
    moved = replace(model, y=model.y + shift)
    assert posterior(moved, VARIANCES).mean == pytest.approx(posterior(model, VARIANCES).mean + shift, abs=1e-8)
    assert log_likelihood(moved, VARIANCES) == pytest.approx(log_likelihood(model, VARIANCES), abs=1e-8)


def test_a_narrow_prior_holds_and_a_wide_one_gives_way() -> None:
    model = Model(np.arange(20.0), np.arange(20), {"error": np.ones(20)}, fixed=np.ones((20, 1)))
    free = learn(model, {"error": 1.0}, log_sd={"error": np.inf})["error"]
    assert free == pytest.approx(np.var(np.arange(20), ddof=1), rel=1e-5)
    held = [learn(model, {"error": 1.0}, log_sd={"error": sd})["error"] for sd in (0.01, 0.4, 3.0)]
    assert 1.0 < held[0] < 1.2 < held[1] < held[2] < free
    assert learn(model, {"error": 7.0}, log_sd={}) == {"error": 7.0}


def test_without_observations_the_posterior_is_the_prior() -> None:
    model = Model(np.full(2, np.nan), np.array([0, 0]), {"part": np.array([2.0, 1.0, 1.0, 3.0])})
    found: Posterior = posterior(model, {}, np.array([5.0, 6.0]))
    assert found.mean.tolist() == [5.0, 6.0]
    assert found.of(np.eye(2))[1].tolist() == [[2.0, 1.0], [1.0, 3.0]]
    assert found.log_likelihood == 0.0


def test_what_cannot_be_solved_is_refused() -> None:
    with pytest.raises(NumberError, match="not sorted"):
        posterior(Model(np.zeros(2), np.array([1, 0]), {"error": np.ones(2)}), {})
    with pytest.raises(NumberError, match="not positive definite"):
        posterior(Model(np.zeros(2), np.array([0, 0]), {"same": np.ones(4)}), {})
    with pytest.raises(NumberError, match="not positive definite"):
        posterior(Model(np.zeros(3), np.arange(3), {"error": np.ones(3)}, fixed=np.ones((3, 2))), {})
