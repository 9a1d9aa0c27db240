"""Writes the table of parts in parts.md from the classes: run it after a part has changed."""

import re
from inspect import cleandoc, getsourcefile
from pathlib import Path

from slategym.envs.part import SLOTS, Part
from slategym.envs.parts import BUILT_IN

PAGE = Path(__file__).with_name("parts.md")
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->"
_SOURCE = re.compile(r"[(,;:] ?((?:as in |after )?[A-Z][^()`;:]*?\b(?:19|20)\d\d[^()`]*)\)", re.S)


def row(cls: type[Part]) -> str:
    """Return the line of a part: name, class, formula (or what it says first), source."""
    text = cleandoc(cls.__doc__ or "")
    told = [re.sub(r"\s+", " ", found) for found in re.findall(r"``(.+?)``", text, re.S)]
    formula = next((f"`{one}`" for one in told if " " in one and re.search(r"[=*/+^<]", one)), "")
    source = _SOURCE.search(text)
    cited = re.sub(r"\s+", " ", source.group(1)).strip(" .") if source else ""
    cited = cited.split(";")[0] if cited.count(";") and "Vose" not in cited else cited
    file = Path(getsourcefile(cls) or "").name
    first = text.splitlines()[0].split(" (")[0].rstrip(".")
    first = first.replace("``", "`")
    cells = (f"`{cls.name}`", f"[{cls.__name__}](../envs/{file})", first, formula, cited)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def table() -> str:
    """Return the tables of all slots, in the order of a step."""
    lines = []
    for slot in SLOTS:
        lines += [f"\n### {slot}\n", "| name | class | what | formula | source |", "|---" * 5 + "|"]
        lines += [row(cls) for cls in BUILT_IN if cls.slot == slot]
    return "\n".join(lines).lstrip() + "\n\n"


def page(text: str) -> str:
    """Return the page with the table in it."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + "\n" + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
