"""Which counts may be published: parts of at least k cities, and no smaller group by adding and subtracting them.

In: one label a city. Out: labels merged until each part is large enough; the smallest group that could be worked out.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_matrix, hstack, identity

Codes = NDArray[np.intp]
# A question that is not answered in this time counts as unsafe.
_SECONDS: Final = 10.0


def merged_neighbours(table: NDArray[np.intp], *, k: int, exempt: NDArray[np.bool_] | None = None) -> list[list[int]]:
    """Rows of a table of counts merged with their neighbours until every cell holds at least k.

    Parameters
    ----------
    table
        Shape (ordered labels, columns).
    exempt
        Cells of the same shape that nobody can be in by definition; a merged row is exempt where all its rows are.

    Returns
    -------
    list of list of int
        Positions of the rows of each part, in order; one part of all rows where nothing finer is safe.
    """
    free = np.zeros(table.shape, dtype=bool) if exempt is None else exempt
    parts = [[row] for row in range(len(table))]

    def short(part: list[int]) -> bool:
        return bool(((table[part].sum(axis=0) < k) & ~free[part].all(axis=0)).any())

    while len(parts) > 1 and any(short(part) for part in parts):
        weak = min((at for at, part in enumerate(parts) if short(part)), key=lambda at: int(table[parts[at]].sum()))
        beside = [at for at in (weak - 1, weak + 1) if 0 <= at < len(parts)]
        with_ = min(beside, key=lambda at: int(table[parts[at]].sum()))
        low, high = sorted((weak, with_))
        parts[low : high + 1] = [parts[low] + parts[high]]
    return parts


def merged_rest(table: NDArray[np.intp], *, k: int) -> list[list[int]]:
    """Rows whose cells all hold at least k stand alone; the others, and the smallest until they do too, are one part.

    Shape (unordered labels, columns); positions of the rows of each part, the merged rest last.
    """
    sizes = table.sum(axis=1)
    rest = [row for row in range(len(table)) if (table[row] < k).any()]
    alone = [row for row in range(len(table)) if row not in rest]
    while rest and alone and (table[rest].sum(axis=0) < k).any():
        smallest = min(alone, key=lambda row: int(sizes[row]))
        alone.remove(smallest)
        rest.append(smallest)
    return [[row] for row in alone] + ([sorted(rest)] if rest else [])


def recoded(codes: Codes, parts: Sequence[Sequence[int]]) -> Codes:
    """The part of each city from its label and the labels of the parts."""
    part_of = np.full(1 + max(row for part in parts for row in part), -1, dtype=np.intp)
    for number, part in enumerate(parts):
        part_of[list(part)] = number
    return part_of[codes]


def counts(labels: Sequence[Hashable], given: Sequence[Any], columns: Codes, *, n_columns: int) -> NDArray[np.intp]:
    """Table labels × columns of how many cities carry which label."""
    position: Mapping[Any, int] = {label: row for row, label in enumerate(labels)}
    table = np.zeros((len(labels), n_columns), dtype=np.intp)
    np.add.at(table, (np.array([position[label] for label in given], dtype=np.intp), columns), 1)
    return table


def smallest_deducible(partitions: Sequence[Codes]) -> int:
    """Cities in the smallest group whose number follows from the part sizes of several partitions of the same cities.

    A reader is assumed who knows beforehand which combinations of parts do not occur at all, which is more than anybody
    outside can know. A group (any set of combinations) can be worked out if its indicator is a sum of one number a
    part on all combinations that occur; the smallest such group is found by an integer programme. 0 where that could
    not be answered in time, so that the caller publishes nothing.
    """
    if len(partitions[0]) == 0:
        return 0
    cells, sizes = np.unique(np.column_stack(partitions), axis=0, return_counts=True)
    blocks = []
    for number, column in enumerate(cells.T):
        kinds, codes = np.unique(column, return_inverse=True)
        # One part of each further partition is the zero of its numbers: a constant moves freely between partitions.
        block = np.eye(len(kinds))[codes]
        blocks.append(block if number == 0 else block[:, 1:])
    parts = np.hstack(blocks)
    n_cells, n_parts = parts.shape
    equal = hstack([identity(n_cells), csr_matrix(-parts)])
    some = np.concatenate([np.ones(n_cells), np.zeros(n_parts)])
    answer = milp(
        np.concatenate([sizes, np.zeros(n_parts)]),
        constraints=[LinearConstraint(equal, 0, 0), LinearConstraint(some, 1, np.inf)],
        integrality=np.concatenate([np.ones(n_cells), np.zeros(n_parts)]),
        bounds=Bounds(
            np.concatenate([np.zeros(n_cells), np.full(n_parts, -np.inf)]),
            np.concatenate([np.ones(n_cells), np.full(n_parts, np.inf)]),
        ),
        options={"time_limit": _SECONDS},
    )
    return round(float(answer.fun)) if answer.status == 0 else 0
