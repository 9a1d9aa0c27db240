"""What the README and the documents say can be typed, can be typed."""

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from slategym.cli import app
from slategym.envs.tiny import tiny_world

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGE_IDS = [str(page.relative_to(ROOT)) for page in PAGES]


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language in a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


def commands(page: Path) -> list[list[str]]:
    """Return the slategym commands in the shell blocks of a page, split into words."""
    found = []
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["slategym"]:
                found.append(words[1:])
            elif words[:2] == ["python3", "run.py"]:
                found.append(words[2:] or ["demo"])
    return found


def test_the_readme_shows_the_two_commands() -> None:
    text = README.read_text(encoding="utf-8")
    assert "python3 run.py\n" in text or "python3 run.py " in text
    assert "python3 run.py test" in text


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_commands_and_their_options_exist(page: Path) -> None:
    wrong = []
    root = typer.main.get_command(app)
    for words in commands(page):
        if words[0] in ("test", "lint"):  # run.py's own
            continue
        command = root
        for word in words:
            inner = getattr(command, "commands", {}).get(word)
            if inner is None:
                break
            command = inner
        options = {name for parameter in command.params for name in parameter.opts}
        wrong += [" ".join(words)] * (command is root)
        wrong += [
            f"{word} of {' '.join(words)}"
            for word in words
            if word.startswith("-") and word not in options | {"--help"}
        ]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_python_blocks_import_what_exists(page: Path) -> None:
    for block in blocks(page, "python"):
        lines = [node for node in ast.parse(block).body if isinstance(node, ast.ImportFrom)]
        for line in lines:
            namespace: dict[str, object] = {}
            exec(ast.unparse(line), namespace)
            assert {alias.asname or alias.name for alias in line.names} <= namespace.keys()


def test_the_readme_and_the_example_are_the_same_lines() -> None:
    example = (ROOT / "examples" / "ten_lines.py").read_text(encoding="utf-8")
    _, _, body = example.partition('"""\n\n')
    assert body in blocks(README, "python")


@pytest.mark.slow
def test_the_python_blocks_of_the_readme_run(tmp_path: Path) -> None:
    tiny_world(items=80, users=60).save(tmp_path / "runs" / "demo" / "world")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for block in blocks(README, "python"):
        done = subprocess.run(
            [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "mine-bench" / "report.html").stat().st_size > 10_000
