"""One size of the photo in patch-based completion: search, distance, vote.

The photo is cut into bands of rows that the processor's cores share. Neighbouring bands are never worked on at the same
time, and each has random numbers of its own: the same arguments give the same numbers on any number of cores.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inpaint import patch_loops

REPEATING = 0.3  # of a usual distance: what each use of a source beyond its fair share costs
MOST_USES = 4  # beyond it, that cost: where little is known, something must be used often
BAND_ROWS = 64  # small holes are one band: what is found spreads along a whole band in one sweep

Array = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Matches = NDArray[np.int32]


class Level:
    """The photo at one size while its hole is filled, and for each target the best known patch so far.

    Targets are the centres of the patches that touch the hole, sources those of the patches that are wholly known.
    What is kept for each target is kept for the box round all of them alone, (h, w): the photo is often much larger.
    """

    def __init__(
        self,
        features: Bytes,
        guide_mean: Bytes,
        hole: Mask,
        targets: Mask,
        sources: Mask,
        pool: Executor,
        seed: tuple[int, ...],
    ) -> None:
        """features: (H, W, C), what patches are compared by; the hole's are changed. guide_mean: (H, W, 3).

        hole, targets, sources: (H, W). There is a target and a source. seed: whole numbers, of the search.
        """
        rows, columns = (np.flatnonzero(targets.any(axis)) for axis in (1, 0))
        self.corner = top, left = int(rows[0]), int(columns[0])
        box = np.s_[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
        self.features, self._guide_mean, self._sources = features, guide_mean, sources
        self.hole, self.targets = (np.ascontiguousarray(mask[box]) for mask in (hole, targets))  # (h, w)
        self.matches: Matches = np.empty((*self.targets.shape, 2), np.int32)  # row and column in the whole photo
        self._pool = pool
        self._tops = range(0, len(self.targets), BAND_ROWS)
        # A state for each band, none of them 0.
        self._states = np.random.SeedSequence(seed).generate_state(len(self._tops), np.uint64) | np.uint64(1)

    def start_anywhere(self) -> None:
        """Every target's match becomes some source."""
        self._in_bands(patch_loops.start_anywhere, self.matches, self._sources, self._states)

    def start_from(self, coarse: Level) -> None:
        """Every target's match becomes that of the level of half the size, some source where that is none here."""
        matches = self.matches, self._sources, self._states, coarse.matches
        self._in_bands(patch_loops.start_from, *matches, coarse.corner, self.corner)

    def distances(self) -> Array:
        """(h, w) of each target's patch to its match, infinite where there is no target."""
        distances = np.full(self.targets.shape, np.inf, np.float32)
        self._in_bands(patch_loops.measure, *self._compared(), distances)
        return distances

    def search(self, reach_px: int) -> Array:
        """Two sweeps of PatchMatch, there and back, which change the matches. Returns their distances.

        reach_px: how far from the best match so far the random search begins. The distances hold what repeating costs.
        """
        distances = self.distances()
        dearer = self._dearer(distances)
        distances[self.targets] += dearer[self.matches[..., 0][self.targets], self.matches[..., 1][self.targets]]
        for step in (1, -1):
            self._in_bands(
                patch_loops.sweep, *self._compared(), self._sources, dearer, distances, self._states, reach_px, step
            )
        return distances

    def _dearer(self, distances: Array) -> Array:
        """(H, W): what is added to a distance to that source, because many targets have it or what is round it.

        Else a few patches that suit everywhere fill large holes with rows of themselves (Kaspar et al. 2015, 4.2).
        """
        at = np.ravel_multi_index(tuple(self.matches[self.targets].T), self._sources.shape)
        uses = np.bincount(at, minlength=self._sources.size).reshape(self._sources.shape).astype(np.float32)
        uses = np.asarray(cv2.blur(uses, (patch_loops.SIDE_PX,) * 2, borderType=cv2.BORDER_CONSTANT), np.float32)
        fair = max(1.0, len(at) / np.count_nonzero(self._sources))  # of a source: once is a copy as it stands
        usual = float(np.percentile(distances[self.targets], 75))
        return np.clip(uses / np.float32(fair) - 1, 0, MOST_USES) * np.float32(REPEATING * usual)

    def vote(self, weights: Array) -> None:
        """Each pixel of the hole becomes the weighted mean of what the matches of the patches over it show there.

        weights: (h, w) of each target's patch, 0 where there is none.
        """
        total = np.zeros((*self.targets.shape, self.features.shape[2]), np.float32)
        weight = np.zeros(self.targets.shape, np.float32)
        self._in_bands(
            patch_loops.add_patches, _rows(self.features), self.matches, weights, _rows(total), weight, self.corner
        )
        self._in_bands(patch_loops.take_means, self.features, self.hole, total, weight, self.corner)

    def take_best(self, distances: Array) -> None:
        """Each pixel of the hole becomes that of the best matched of the patches over it."""
        self._in_bands(patch_loops.take_best, self.features, self.hole, self.matches, distances, self.corner)

    def _compared(self) -> tuple[Any, ...]:
        return _rows(self.features), self._guide_mean, self.targets, self.matches, self.corner

    def _in_bands(self, loop: Callable[..., Any], *arguments: Any) -> None:
        """Calls loop(*arguments, band, first row, row behind the last): bands in between wait for both neighbours."""

        def work(band: int, *before: Future[None]) -> None:
            for neighbour in before:
                neighbour.result()
            start = self._tops[band]
            loop(*arguments, band, start, min(len(self.targets), start + BAND_ROWS))

        if len(self._tops) == 1:
            work(0)
            return
        # A band waits for what was submitted before it alone, so that a pool of one thread does not wait for itself.
        at_work: dict[int, Future[None]] = {}
        for band in range(0, len(self._tops) + 1, 2):
            if band < len(self._tops):
                at_work[band] = self._pool.submit(work, band)
            if band > 0:
                neighbours = (at_work[one] for one in (band - 2, band) if one in at_work)
                at_work[band - 1] = self._pool.submit(work, band - 1, *neighbours)
        for one in at_work.values():
            one.result()


def _rows(features: NDArray[Any]) -> NDArray[Any]:
    """(H, W C): a patch's row is one run of numbers."""
    return features.reshape(len(features), -1)
