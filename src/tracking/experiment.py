"""An experiment's description: what its numbers are, and before that what its latest sweep found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .limits import LONGEST_TAG
from .record import NOTE

if TYPE_CHECKING:
    from .sweep import Parent

# The page shows the first line; the rest is a click away.
DESCRIPTION = """Calibrations by gradient descent: a run for each setting, a parent run for each sweep.

- `w`, `b`, …: the parameters in raw input units, comparable across normalizations; `trained_w`, …: as trained
- `loss_gap`: the loss above the best fit's
- `rank`: the place among a sweep's runs on the same data, 1 for the best
- `lr_over_limit`: the learning rate over the largest stable one; beyond 1 a run diverges
- tag `outcome`: `converged`, `stopped` short of it, `diverged` (its description says why) or `killed`
"""


def tell_latest(parent: Parent, found: str) -> None:
    """Say in Markdown what a sweep found, before the rest of the description, and link its page.

    The paragraph with the link to another sweep's page makes way; what a person has written stays. It is one
    tag: of two sweeps that end at once the last is told.
    """
    client, store = parent.store.client, parent.store
    page = parent.page.removeprefix(store.root)
    before_id, after_id = page.split(parent.run_id)
    note = client.get_experiment(store.experiment_id).tags.get(NOTE, "")
    others = [each for each in note.split("\n\n") if not (before_id in each and after_id in each)]
    told = "\n\n".join(filter(None, [f"[Latest sweep]({page}): {found}.", *others]))
    if len(told) <= LONGEST_TAG:
        client.set_experiment_tag(store.experiment_id, NOTE, told)
