"""A step as text: the slate with its titles, and what the user did."""

import json

from slategym.envs.state import Response
from slategym.envs.world import World


def ansi(world: World, response: Response | None, row: int) -> str:
    """Return one user's last slate, one item per line, the clicked one marked.

    Args:
        world: gives titles and topics.
        response: the last step, or None before the first.
        row: which user of the batch.
    """
    if response is None:
        return "no slate was shown yet\n"
    user = world.users["user_id"].iloc[int(response.user[row])]
    lines = [f"user {user}"]
    titles, topics = world.items["title"], world.items["topics"]
    for slot, item in enumerate(response.slate[row].tolist()):
        if item < 0:
            lines.append(f"  {slot + 1}. (empty)")
            continue
        named = ", ".join(json.loads(topics.iloc[item]))
        mark = " "
        told = ""
        if response.click[row, slot] > 0:
            mark = ">"
            share, minutes = response.watch[row, slot], response.minutes[row, slot]
            told = f"  clicked: watched {share:.0%}, {minutes:.1f} min"
        lines.append(f"{mark} {slot + 1}. {titles.iloc[item]} [{named}]{told}")
    if response.click[row].sum() == 0:
        lines.append("  nothing was clicked")
    if response.terminated[row]:
        lines.append("  the user left")
    return "\n".join(lines) + "\n"
