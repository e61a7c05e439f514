"""One Gaussian linear model with named covariance parts, for everything that is learned from deliveries.

    y = X β + Σ_u Z_u b_u + Σ_u n_u        β flat, b_u ~ N(0, φ_u I), n_u ~ N(0, φ_u N_u)

Wide parts (Z_u) are shared across blocks: an origin, a pair of forms. Narrow parts (N_u) stay within a block: a
cooperative, a county. With B = Σ φ_u N_u block by block and W = [Z √φ, X], everything follows from

    M = diag(1 for random, 0 for flat columns) + Wᵀ B⁻¹ W        (Woodbury)

so the cost grows with the number of rows, dense only within blocks and in the few wide columns. Flat columns have no
prior precision; the likelihood is then the restricted one. Rows whose y is NaN are asked for: they get the posterior.
Fay and Herriot (1979) and Battese, Harter and Fuller (1988) are special cases.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import linalg, optimize, sparse
from scipy.sparse.linalg import splu

from geomap.errors import NumberError

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

_LOG_RANGE: Final = 12.0
"""Variances are looked for within e^±12 of their start."""

_NUDGE: Final = 1e-4


def block_pairs(block: Codes) -> tuple[Codes, Codes]:
    """Rows of every ordered pair within a block, row by row; `block` is sorted.

    Examples
    --------
    >>> left, right = block_pairs(np.array([0, 0, 1]))
    >>> left.tolist(), right.tolist()
    ([0, 0, 1, 1, 2], [0, 1, 0, 1, 2])
    """
    first = np.searchsorted(block, block, side="left")
    size = np.searchsorted(block, block, side="right") - first
    left = np.repeat(np.arange(len(block)), size)
    within = np.arange(len(left)) - np.repeat(np.cumsum(size) - size, size)
    return left, np.repeat(first, size) + within


@dataclass(frozen=True, eq=False)
class Model:
    """Rows with their named covariance parts.

    Attributes
    ----------
    y : (n,) observed values; NaN in rows that are asked for.
    block : (n,) sorted codes; narrow parts stay within a block.
    narrow : per name the covariance of each pair of `block_pairs(block)`, for variance 1.
    wide : per name the loadings (n × levels, sparse); covariance Z Zᵀ for variance 1.
    fixed : (n × p) columns X of flat effects.
    """

    y: Floats
    block: Codes
    narrow: Mapping[str, Floats]
    wide: Mapping[str, "sparse.csr_array"] = field(default_factory=dict)
    fixed: Floats | None = None

    @cached_property
    def _layout(self) -> "_Layout":
        return _Layout.of(self)

    @cached_property
    def diagonals(self) -> dict[str, Floats]:
        """Variance of each row from each part, for variance 1."""
        left, right = block_pairs(self.block)
        found = {name: values[left == right] for name, values in self.narrow.items()}
        return found | {name: np.asarray((z * z).sum(axis=1)).ravel() for name, z in self.wide.items()}


@dataclass(frozen=True, eq=False)
class Posterior:
    """What the observed rows say of the rows that were asked for, in their order.

    The covariance is near + far farᵀ: near within blocks (sparse), far by the wide columns.
    """

    mean: Floats
    near: "sparse.csr_array"
    far: Floats
    log_likelihood: float
    beta: Floats

    def variances(self) -> Floats:
        """Posterior variance of each row."""
        return np.asarray(self.near.diagonal() + np.einsum("ij,ij->i", self.far, self.far))

    def of(self, weights: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Mean and covariance of linear functions of the rows; weights: (functions × rows)."""
        a = np.atleast_2d(np.asarray(weights, dtype=float))
        far = a @ self.far
        return a @ self.mean, a @ (self.near @ a.T) + far @ far.T


def posterior(model: Model, variances: Mapping[str, float], offset: Floats | None = None) -> Posterior:
    """Posterior of the rows without a value, given those with one.

    Parameters
    ----------
    variances : of each part, by name; 1 where not named.
    offset : (n,) known mean of each row; 0 without it.

    Raises
    ------
    NumberError : a block's covariance is not positive definite, or the flat columns depend on each other.

    Source: Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, eqs 2.23–2.24 and A.9.

    Examples
    --------
    One value 2 with error variance 1 about a truth of variance 3: mean 2 · 3/4, variance 3 · 1/4.

    >>> model = Model(np.array([2.0, np.nan]), np.array([0, 0]),
    ...               {"truth": np.ones(4), "error": np.array([1.0, 0, 0, 0])})
    >>> found = posterior(model, {"truth": 3.0})
    >>> found.mean.tolist(), found.variances().tolist()
    ([1.5], [0.75])
    """
    layout = model._layout
    solved = _solve(layout, variances, _observed(layout, model, offset))
    asked = 0.0 if offset is None else offset[~layout.observed]
    cross = layout.cross(variances)
    gain = cross @ solved.inverse
    scale = layout.scale(variances)
    loading = (layout.wide_asked - gain @ layout.wide_observed).toarray() * scale
    near = layout.asked(variances) - gain @ cross.T
    return Posterior(
        mean=np.asarray(asked + gain @ solved.residual + loading @ solved.effects),
        near=sparse.csr_array(near),
        far=linalg.solve_triangular(_root(solved.m.toarray()), loading.T, lower=True).T,
        log_likelihood=solved.log_likelihood,
        beta=solved.effects[len(scale) - layout.flat :],
    )


def from_other_blocks(model: Model, variances: Mapping[str, float], offset: Floats | None = None) -> Posterior:
    """Posterior of each asked row as if its own block had not been observed; covariances are within blocks only.

    One solution serves all blocks: leaving a block out lowers M by Wᵀ B⁻¹ W of that block, a matrix of low rank.

    Source: Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, section 5.4.2 and eq. A.9.

    Examples
    --------
    Two blocks with a common mean of variance 1 and errors of variance 1: the other's 2 says 1 ± √.5.

    >>> model = Model(np.array([9.0, np.nan, 2.0]), np.array([0, 0, 1]), {"error": np.array([1.0, 0, 0, 0, 1.0])},
    ...               {"mean": sparse.csr_array(np.ones((3, 1)))})
    >>> found = from_other_blocks(model, {})
    >>> found.mean.round(9).tolist(), found.variances().round(9).tolist()
    ([1.0], [0.5])
    """
    layout = model._layout
    solved = _solve(layout, variances, _observed(layout, model, offset))
    root, scale = _root(solved.m.toarray()), layout.scale(variances)
    seen = linalg.solve_triangular(root, layout.wide_observed.toarray().T * scale[:, None], lower=True)
    asked = linalg.solve_triangular(root, layout.wide_asked.toarray().T * scale[:, None], lower=True)
    weighted, effects = solved.inverse @ solved.residual, root.T @ solved.effects
    blocks, first, last = _ranges(model.block[~layout.observed], model.block[~layout.observed])
    _, seen_first, seen_last = _ranges(blocks, model.block[layout.observed])
    covariance = layout.within.matrix(layout.values(variances, 0))
    mean = np.zeros(asked.shape[1]) if offset is None else offset[~layout.observed]
    near = [np.zeros(0)]
    for a, b, c, d in zip(first, last, seen_first, seen_last, strict=True):
        to, own = asked[:, a:b], seen[:, c:d]
        others = effects - own @ weighted[c:d]
        cross = to.T @ own
        gain = np.linalg.solve(covariance[c:d, c:d].toarray() - own.T @ own, cross.T).T
        mean[a:b] += to.T @ others + gain @ (own.T @ others)
        near.append((to.T @ to + gain @ cross.T).ravel())
    return Posterior(
        mean=mean,
        near=sparse.csr_array(layout.asked(variances) + layout.between.matrix(np.concatenate(near))),
        far=np.zeros((len(mean), 0)),
        log_likelihood=solved.log_likelihood,
        beta=solved.effects[len(scale) - layout.flat :],
    )


def _ranges(blocks: Codes, among: Codes) -> tuple[Codes, Codes, Codes]:
    """Each distinct block, and where its rows begin and end among sorted ones."""
    distinct = np.unique(blocks)
    return distinct, np.searchsorted(among, distinct), np.searchsorted(among, distinct, side="right")


def log_likelihood(model: Model, variances: Mapping[str, float], offset: Floats | None = None) -> float:
    """Restricted log likelihood of the observed rows; the marginal one where no column is flat."""
    layout = model._layout
    return _solve(layout, variances, _observed(layout, model, offset)).log_likelihood


def learn(
    model: Model,
    start: Mapping[str, float],
    *,
    log_sd: Mapping[str, float],
    offset: Callable[[Mapping[str, float]], Floats] | None = None,
    tolerance: float = 1e-14,
) -> dict[str, float]:
    """Variances that make likelihood × prior greatest; those without a `log_sd` stay as they start.

    Parameters
    ----------
    start : variance of each part; medians of the priors.
    log_sd : sd of the logarithm of each standard deviation that is learned (log-normal prior); infinite: flat.
    offset : known mean of all rows, given the variances.
    tolerance : relative change of the log posterior at which the search ends.

    Examples
    --------
    Three values with one flat mean: the restricted likelihood gives the sum of squares / (n − 1) = 2 / 2.

    >>> model = Model(np.array([1.0, 2.0, 3.0]), np.arange(3), {"error": np.ones(3)}, fixed=np.ones((3, 1)))
    >>> round(learn(model, {"error": 4.0}, log_sd={"error": np.inf})["error"], 6)
    1.0
    """
    names = list(log_sd)
    if not names:
        return dict(start)
    centre = np.log([start[name] for name in names])
    precision = np.array([0.0 if math.isinf(log_sd[name]) else (2.0 * log_sd[name]) ** -2 for name in names])

    def variances_at(steps: Floats) -> dict[str, float]:
        return dict(start) | dict(zip(names, np.exp(centre + steps).tolist(), strict=True))

    def cost(steps: Floats) -> float:
        variances = variances_at(steps)
        mean = None if offset is None else offset(variances)
        return 0.5 * float(precision @ steps**2) - log_likelihood(model, variances, mean)

    scale = _scale(cost, len(names))

    def slope(x: Floats) -> Floats:
        nudges = np.diag(_NUDGE * scale)
        return np.array([(cost(scale * x + n) - cost(scale * x - n)) / (2.0 * _NUDGE) for n in nudges])

    found = optimize.minimize(
        lambda x: cost(scale * x),
        np.zeros(len(names)),
        jac=slope,
        method="L-BFGS-B",
        bounds=[(-_LOG_RANGE / one, _LOG_RANGE / one) for one in scale],
        options={"ftol": tolerance, "gtol": 1e-6},
    )
    return variances_at(scale * found.x)


def _scale(cost: Callable[[Floats], float], count: int) -> Floats:
    """Steps of about one standard deviation of each logarithm, from the curvature at the start; at most 1."""
    here, steps = cost(np.zeros(count)), 0.1 * np.eye(count)
    curvature = np.array([(cost(step) - 2.0 * here + cost(-step)) / 0.01 for step in steps])
    return np.asarray(1.0 / np.sqrt(np.maximum(curvature, 1.0)))


@dataclass(frozen=True, eq=False)
class _Layout:
    """Where the pairs of a model lie in its block matrices; made once, used for every set of variances."""

    observed: npt.NDArray[np.bool_]
    narrow: Mapping[str, tuple[Floats, Floats, Floats]]  # pairs of two observed, asked and observed, two asked
    within: "_Pattern"
    across: "_Pattern"
    between: "_Pattern"
    batches: tuple[tuple[int, Codes], ...]  # blocks of one size: where their values start
    wide_observed: "sparse.csr_array"
    wide_asked: "sparse.csr_array"
    names: tuple[str, ...]
    levels: Codes
    flat: int

    @classmethod
    def of(cls, model: Model) -> "_Layout":
        if len(model.block) and (np.diff(model.block) < 0).any():
            raise NumberError("The blocks are not sorted.", why="Rows of a block stand together.", todo="Sort them.")
        observed = ~np.isnan(model.y)
        left, right = block_pairs(model.block)
        number = np.where(observed, np.cumsum(observed), np.cumsum(~observed)) - 1
        count, asked = int(observed.sum()), int((~observed).sum())
        seen = (
            observed[left] & observed[right],
            ~observed[left] & observed[right],
            ~(observed[left] | observed[right]),
        )
        shapes = ((count, count), (asked, count), (asked, asked))
        patterns = [
            _Pattern.of(number[left[pairs]], number[right[pairs]], shape)
            for pairs, shape in zip(seen, shapes, strict=True)
        ]
        wide = [sparse.csr_array(z) for z in model.wide.values()]
        flat = np.zeros((len(model.y), 0)) if model.fixed is None else model.fixed
        columns = sparse.csr_array(sparse.hstack([*wide, sparse.csr_array(flat)]))
        return cls(
            observed=observed,
            narrow={name: (v[seen[0]], v[seen[1]], v[seen[2]]) for name, v in model.narrow.items()},
            within=patterns[0],
            across=patterns[1],
            between=patterns[2],
            batches=_batches(model.block[observed]),
            wide_observed=columns[np.flatnonzero(observed)],
            wide_asked=columns[np.flatnonzero(~observed)],
            names=tuple(model.wide),
            levels=np.array([z.shape[1] for z in wide], dtype=np.int64),
            flat=flat.shape[1],
        )

    def values(self, variances: Mapping[str, float], which: int) -> Floats:
        parts = [variances.get(name, 1.0) * values[which] for name, values in self.narrow.items()]
        return np.asarray(np.sum(parts, axis=0))

    def cross(self, variances: Mapping[str, float]) -> "sparse.csr_array":
        return self.across.matrix(self.values(variances, 1))

    def asked(self, variances: Mapping[str, float]) -> "sparse.csr_array":
        return self.between.matrix(self.values(variances, 2))

    def scale(self, variances: Mapping[str, float]) -> Floats:
        """Standard deviation of each wide column; 1 for the flat ones."""
        sd = np.sqrt([variances.get(name, 1.0) for name in self.names])
        return np.concatenate([np.repeat(sd, self.levels), np.ones(self.flat)])


@dataclass(frozen=True, eq=False)
class _Pattern:
    """Where the values of sorted pairs stand in a sparse matrix."""

    column: Codes
    start: Codes
    shape: tuple[int, int]

    @classmethod
    def of(cls, row: Codes, column: Codes, shape: tuple[int, int]) -> "_Pattern":
        start = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=shape[0]))]).astype(np.int64)
        return cls(column, start, shape)

    def matrix(self, values: Floats) -> "sparse.csr_array":
        return sparse.csr_array((values, self.column, self.start), shape=self.shape)


@dataclass(frozen=True, eq=False)
class _Solved:
    inverse: "sparse.csr_array"  # B⁻¹
    m: "sparse.csc_array"
    effects: Floats  # M⁻¹ Wᵀ B⁻¹ (y − offset)
    residual: Floats
    log_likelihood: float


def _observed(layout: _Layout, model: Model, offset: Floats | None) -> Floats:
    known = model.y if offset is None else model.y - offset
    return known[layout.observed]


def _solve(layout: _Layout, variances: Mapping[str, float], residual: Floats) -> _Solved:
    inverse, log_det = _inverse(layout, layout.values(variances, 0))
    scale = layout.scale(variances)
    weighted = inverse @ layout.wide_observed
    scaled = sparse.diags_array(scale)
    prior = np.repeat([1.0, 0.0], [len(scale) - layout.flat, layout.flat])
    m = sparse.csc_array(scaled @ (layout.wide_observed.T @ weighted) @ scaled + sparse.diags_array(prior))
    moment = scale * (weighted.T @ residual)
    effects, log_det_m = _solve_sparse(m, moment)
    log_det += log_det_m + (len(residual) - layout.flat) * math.log(2 * math.pi)
    distance = float(residual @ (inverse @ residual) - moment @ effects)
    return _Solved(inverse, m, effects, residual, -0.5 * (log_det + distance))


def _solve_sparse(m: "sparse.csc_array", right: Floats) -> tuple[Floats, float]:
    """M⁻¹ right and the logarithm of M's determinant, for a symmetric positive definite M."""
    if m.shape[0] == 0:
        return right, 0.0
    try:
        factors = splu(m, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    except RuntimeError as error:  # exactly singular
        raise _not_definite() from error
    diagonal = factors.U.diagonal()
    if (diagonal <= 0).any():
        raise _not_definite()
    return factors.solve(right), float(np.log(diagonal).sum())


def _inverse(layout: _Layout, values: Floats) -> tuple["sparse.csr_array", float]:
    """Inverse of the block matrix and the logarithm of its determinant, all blocks of one size at a time."""
    found, log_det = np.empty_like(values), 0.0
    for size, start in layout.batches:
        at = start[:, None] + np.arange(size * size)
        blocks = values[at].reshape(-1, size, size)
        log_det += 2.0 * float(np.log(np.diagonal(_root(blocks), axis1=1, axis2=2)).sum())
        found[at] = np.linalg.inv(blocks).reshape(-1, size * size)
    return layout.within.matrix(found), log_det


def _root(matrix: Floats) -> Floats:
    try:
        return np.asarray(np.linalg.cholesky(matrix))
    except np.linalg.LinAlgError as error:
        raise _not_definite() from error


def _not_definite() -> NumberError:
    return NumberError(
        "A covariance is not positive definite.",
        why="Rows would follow from one another exactly, or flat columns depend on each other.",
        todo="Give every observation an error of its own, and drop columns that others make up.",
    )


def _batches(block: Codes) -> tuple[tuple[int, Codes], ...]:
    size = np.unique(block, return_counts=True)[1]
    start = np.cumsum(size**2) - size**2
    return tuple((int(one), start[size == one]) for one in np.unique(size))
