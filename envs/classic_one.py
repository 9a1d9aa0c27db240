"""One user's step without the axis B, cut out of the buffers with as little work as possible.

For the single environment, where making an array takes longer than simulating the user.
"""

from itertools import pairwise
from typing import Any

import numpy as np

from slategym.envs.arrays import AnyArray
from slategym.envs.classic_family import Family
from slategym.envs.classic_output import real_widths
from slategym.envs.classic_state import Output, Sizes


class OneCut:
    """Where the arrays of a batch of one lie in its buffers.

    Args:
        family: gives the names of the response.
        sizes: of one user, whatever their batch.
    """

    def __init__(self, family: Family, sizes: Sizes) -> None:
        size, past = sizes.slate, sizes.past
        ends = np.cumsum([0, *real_widths(sizes)]).tolist()
        user, history, candidates, feedback, context, response, _ = (
            slice(start, end) for start, end in pairwise(ends)
        )
        start = response.start
        self._user, self._feedback, self._context = user, feedback, context
        self._documents = (history, candidates)
        self._ids = (slice(2 * size, 2 * size + past), slice(2 * size + past, None))
        self._in_ids_mode, self._past = sizes.ids, past
        self._response = [
            (name, slice(start + i * size, start + (i + 1) * size))
            for i, name in enumerate(family.names)
        ]
        self._slate, self._clusters = slice(0, size), slice(size, 2 * size)
        self._has_clusters, self._term = family.has_clusters, family.reward_term

    def observation(self, out: Output) -> dict[str, AnyArray]:
        """Return the observation by key."""
        real, (history, candidates) = out.real, self._documents
        documents: AnyArray = real
        feedback = real[self._feedback]
        if self._in_ids_mode:
            documents, (history, candidates) = out.whole, self._ids
            feedback = feedback.reshape(self._past, 3)
        return {
            "user": real[self._user],
            "history": documents[history],
            "history_feedback": feedback,
            "candidates": documents[candidates],
            "context": real[self._context],
        }

    def info(self, out: Output) -> dict[str, Any]:
        """Return what a step's info tells of the response."""
        real, whole = out.real, out.whole
        response: dict[str, AnyArray] = {name: real[place] for name, place in self._response}
        if self._has_clusters:
            response["cluster_id"] = whole[self._clusters]
        return {
            "response": response,
            "slate": whole[self._slate],
            "reward_terms": {self._term: real[-1]},
        }
