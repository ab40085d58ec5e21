"""The Observations block of an entry: the strongest few of what can be said, each with its strength, and its evidence folded under it.

The author's own sentences stand beside the block and are not touched. A block that rests on per-image results, which are not kept in git, is left as
it is where these are not at hand: without them less could be said.
"""

import html
from collections.abc import Sequence

from ..analyze import observations
from ..analyze.observation import Observation, details
from ..analyze.summary import Summary
from ..core.text import escape_markdown
from ..store.lab import Lab
from ..store.view import look

NAME = "observations"
HEADING = "## Observations"
_BY_IMAGES = ("exact McNemar test on the same", "t test with the deviation of classes on the same", "loss of the same images then")
_WITHOUT = "no per-image results here"


def block(told: Sequence[Summary], lab: Lab) -> str:
    """Return the strongest observations as a list, each with its evidence folded under it."""
    with look(lab) as view:
        found = observations.observe(told, observations.known_to(lab, told, view))
    return "\n".join(map(item, observations.strongest(found))) or "(nothing can be said of these runs yet)"


def item(found: Observation) -> str:
    """Return an observation as an item of a list."""
    evidence = html.escape(details(found), quote=False)  # GitHub reads no Markdown in there
    folded = f"\n  <details><summary>evidence</summary>{evidence}</details>" if evidence else ""
    return f"- **{found.strength}**: {escape_markdown(found.sentence)}{folded}"


def rests_on_more(before: str, after: str) -> bool:
    """Return whether a block that stands on a page rests on per-image results that are missing now."""
    return any(text in before for text in _BY_IMAGES) and _WITHOUT in after
