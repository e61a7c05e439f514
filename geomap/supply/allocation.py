"""What can be sold from sets of certificates when contracts draw on them: Hall's condition, over months.

A kilogram belongs to one set of certificates ("fairtrade+organic") and can serve any contract whose certificates all
stand in that set, from the month on in which it is ready. Contracts can be served all at once if, for each choice of
contracts, the supply that can serve any of them is at least their sum. The choices that matter name, for each kind of
contract, the month up to which its contracts are in the choice. What can still be sold under a certificate is the least
slack of the choices in which a further sale would stand.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Final

import numpy as np
import numpy.typing as npt

from geomap.supply.certificates import set_name, set_of
from geomap.supply.course import Floats

_MOST_CHOICES: Final = 50_000
_AT_ONCE: Final = 2_000_000


@dataclass(frozen=True)
class Allocation:
    """One cooperative: its sets of certificates, its kinds of contracts, and the choices of contracts that matter.

    kinds: sets that contracts ask for. due: (kinds, months + 1) kilograms due within the first m months.
    serves: (kinds, sets) whether a set can serve a kind. choices: (choices, kinds) months up to which contracts are in.
    """

    sets: tuple[frozenset[str], ...]
    share: Floats
    kinds: tuple[frozenset[str], ...]
    due: Floats
    serves: npt.NDArray[np.bool_]
    choices: npt.NDArray[np.int64]

    @classmethod
    def of(cls, sets: dict[str, float], contracts: dict[str, Floats], months: int) -> "Allocation":
        names, kinds = sorted(sets), sorted(contracts)
        due = np.zeros((len(kinds), months + 1))
        for place, kind in enumerate(kinds):
            due[place, 1:] = np.cumsum(contracts[kind])
        events = [[0, *(np.flatnonzero(np.diff(row)) + 1).tolist()] for row in due]
        while np.prod([len(own) for own in events], initial=1.0) > _MOST_CHOICES:
            longest = max(range(len(events)), key=lambda kind: len(events[kind]))
            due[longest], events[longest] = _earlier(due[longest], events[longest])
        own_sets = tuple(set_of(name) for name in names)
        own_kinds = tuple(set_of(kind) for kind in kinds)
        serves = np.array([[kind <= own for own in own_sets] for kind in own_kinds], dtype=bool)
        return cls(
            sets=own_sets,
            share=np.array([sets[name] for name in names]),
            kinds=own_kinds,
            due=due,
            serves=serves.reshape(len(kinds), len(names)),
            choices=np.array(list(product(*events)), dtype=np.int64).reshape(math.prod(map(len, events)), len(kinds)),
        )

    @property
    def asked(self) -> list[frozenset[str]]:
        """Certificates that get rows: none, each one alone, and each set that a contract asks for."""
        alone = {frozenset({name}) for own in (*self.sets, *self.kinds) for name in own}
        return sorted({frozenset(), *alone, *self.kinds}, key=set_name)

    @cached_property
    def _reach(self) -> npt.NDArray[np.int64]:
        """(choices, sets) months up to which each set's supply can serve a contract of the choice."""
        wide = self.choices[:, :, None] * self.serves[None]
        return np.asarray(wide.max(axis=1, initial=0))

    @cached_property
    def _chosen_due(self) -> Floats:
        """(choices,) kilograms of the contracts in each choice."""
        kinds = np.arange(len(self.kinds))
        return np.asarray(self.due[kinds, self.choices].sum(axis=1))

    def carries(self, asked: frozenset[str]) -> npt.NDArray[np.bool_]:
        """Sets that carry these certificates."""
        return np.array([asked <= own for own in self.sets], dtype=bool)

    def asks(self, asked: frozenset[str]) -> npt.NDArray[np.bool_]:
        """Kinds of contracts that ask for these certificates."""
        return np.array([asked <= kind for kind in self.kinds], dtype=bool)

    def sellable(self, supply: Floats, asked: frozenset[str]) -> tuple[Floats, Floats]:
        """The most that can still be sold under these certificates by each month, and what their contracts lack.

        Contracts that cannot be met take what can serve them and no more: the most is what all together with the
        further sale could take, less what the contracts alone could.

        Parameters
        ----------
        supply : (months,) kilograms of all sets together that are ready by the end of each month.
        """
        sets = np.arange(len(self.sets))
        by_set = np.concatenate([[0.0], supply])[:, None] * self.share
        slack = by_set[self._reach, sets].sum(axis=1) - self._chosen_due
        with_sale = self._least_slack(by_set, self.carries(asked))
        most = np.minimum.accumulate(with_sale[::-1])[::-1] - min(float(slack.min()), 0.0)
        own = np.all((self.choices == 0) | self.asks(asked), axis=1)
        lacking = np.zeros(len(supply))
        last = self.choices[own].max(axis=1, initial=0)
        np.maximum.at(lacking, np.maximum(last - 1, 0), -slack[own])
        return np.maximum(most, 0.0), np.maximum.accumulate(lacking)

    def needed(self, asked: frozenset[str], kept: float, *, exactly: bool = False) -> Floats:
        """Supply in kilograms by each month's end that covers the contracts for these certificates, beside all others.

        Each month by itself, from what is due by then. `kept`: part of the supply that can be sold by contract.
        `exactly`: only contracts that ask for these certificates and no more.
        """
        choices, all_due, share = self._at_once
        own = np.array([asked == kind for kind in self.kinds], dtype=bool) if exactly else self.asks(asked)
        own_due = (choices & own) @ self.due[:, 1:]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            needed = np.where(own_due > 0, all_due / (kept * share[:, None]), 0.0)
        return np.asarray(needed.max(axis=0, initial=0.0))

    @cached_property
    def _at_once(self) -> tuple[npt.NDArray[np.bool_], Floats, Floats]:
        """Choices of kinds whatever the month: (choices, kinds), kilograms due by each month, share that can serve."""
        choices = np.array(list(product([False, True], repeat=len(self.kinds))), dtype=bool)
        choices = choices.reshape(len(choices), len(self.kinds))
        able = (choices[:, :, None] & self.serves[None]).any(axis=1)
        return choices, choices @ self.due[:, 1:], able @ self.share

    def _least_slack(self, by_set: Floats, carried: npt.NDArray[np.bool_]) -> Floats:
        """(months,) least slack of the choices when a further sale by each month stands in them."""
        months, sets = np.arange(1, len(by_set)), np.arange(len(self.sets))
        size = max(1, _AT_ONCE // max(1, self._reach.size))
        found = []
        for first in range(0, len(months), size):
            month = np.where(carried, months[first : first + size, None], 0)
            further = np.maximum(self._reach, month[:, None, :])
            found.append((by_set[further, sets].sum(axis=2) - self._chosen_due).min(axis=1))
        return np.concatenate(found)


def _earlier(due: Floats, events: list[int]) -> tuple[Floats, list[int]]:
    """Contracts of one kind brought forward to half as many months: never more can be sold than with them as they are.

    Only where a cooperative has so many contracts that the choices among them could not all be tried.
    """
    fewer = events[:2] + events[2:][1::2]
    ends = [*fewer[2:], len(due)]
    moved = np.zeros_like(due)
    for month, end in zip(fewer[1:], ends, strict=True):
        moved[month:end] = due[end - 1]
    return moved, fewer
