"""The examples, the skeletons and an outsider's package run as they are written."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest
from PIL import Image

from slategym.cli import run
from slategym.cli_common import import_user_code
from slategym.envs.checks import check_variant
from slategym.envs.registry import get_variant, list_variants
from slategym.envs.tiny import tiny_world
from slategym.envs.variant_files import load_variants, register_variants_from
from slategym.errors import UsageError
from slategym.skeleton import name_of, write_skeleton
from slategym.variant_text import TASK, describe, listing, sections

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"


def python(*arguments: str, cwd: Path, path: Path | None = None) -> str:
    """Run Python with warnings as errors and return what it printed."""
    environment = {**os.environ, "COLUMNS": "80"}
    environment.pop("PYTEST_ADDOPTS", None)
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_example_in_python_and_in_yaml_are_the_same_task() -> None:
    import_user_code([str(EXAMPLES / "short_sessions.py")])
    ids = register_variants_from(EXAMPLES / "short_sessions.yaml")
    assert ids == ("acme/Hurried-v0", "acme/HurriedLikes-v0")
    sessions, hurried, likes = (get_variant(one) for one in ("acme/ShortSessions-v0", *ids))
    assert sessions.parameters == hurried.parameters
    assert "like_weight" in likes.parameters
    for one in ("acme/ShortSessions-v0", "acme/HurriedLikes-v0"):
        assert check_variant(one) == []


@pytest.mark.parametrize(
    ("text", "variant_id", "module"),
    [
        ("Bored", "mylab/Bored-v0", "bored"),
        ("acme/LongVisits-v2", "acme/LongVisits-v2", "long_visits"),
        ("a-b", "mylab/a-b-v0", "a_b"),
        ("Random", "mylab/Random-v0", "random_variant"),  # a standard module
        ("NumPy", "mylab/NumPy-v0", "num_py"),
        ("class", "mylab/class-v0", "class_variant"),
    ],
)
def test_names_of_skeletons(text: str, variant_id: str, module: str) -> None:
    name = name_of(text)
    assert (name.id, name.module) == (variant_id, module)


@pytest.mark.parametrize("text", ["", "a b", "a/b/c", "1st", "acme/"])
def test_a_malformed_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="NAME is"):
        name_of(text)


@pytest.mark.parametrize("base", list_variants())
@pytest.mark.parametrize("yaml", [False, True])
def test_a_skeleton_can_be_written_for_every_variant(base: str, yaml: bool, tmp_path: Path) -> None:
    variant = get_variant(base)
    files = write_skeleton(name_of("Copy"), variant, tmp_path, yaml=yaml)
    assert all(file.read_text(encoding="utf-8").strip() for file in files)
    if yaml:
        (copy,) = load_variants(files[0])
        assert copy.horizon == variant.horizon // 2
        # Every comment is a parameter that can be set: uncommented, the file still loads.
        text = files[0].read_text(encoding="utf-8")
        head, _, rest = text.partition(f"as they are in {base}:\n")
        files[0].write_text(head + "\n" + rest.replace("  # ", "  ", 1).replace("\n  # ", "\n  "))
        (whole,) = load_variants(files[0])
        assert whole.parameters == copy.parameters
    else:
        compile(files[0].read_text(encoding="utf-8"), files[0].name, "exec")


def test_a_skeleton_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["envs", "new", "acme/New-v0", "--out", str(tmp_path / "new")]
    assert run(command) == 0
    assert "acme/New-v0 is in" in capsys.readouterr().out
    (tmp_path / "new" / "new.py").unlink()
    before = {file.name: file.read_bytes() for file in (tmp_path / "new").iterdir()}
    assert run(command) == 2
    assert "not overwritten" in capsys.readouterr().err
    assert before == {file.name: file.read_bytes() for file in (tmp_path / "new").iterdir()}
    assert run(["envs", "new", "slategym/World-v0", "--out", str(tmp_path / "x")]) == 2
    assert "is taken" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [[], ["--yaml"], ["--base", "slategym/LongTermSatisfaction-v0"]],
    ids=["python", "yaml", "classic"],
)
def test_the_test_of_a_skeleton_passes_as_written(options: list[str], tmp_path: Path) -> None:
    assert run(["envs", "new", "Bored", "--out", str(tmp_path / "b"), *options]) == 0
    out = python("-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path / "b")
    assert "2 passed" in out


def test_the_same_new_environment_twice_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))  # as `python -m slategym` has it
    assert run(["envs", "new", "acme/Twice-v0"]) == 0
    assert run(["envs", "new", "acme/Twice-v0"]) == 2
    assert "twice already holds twice.py" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["twice"]


@pytest.mark.slow
def test_an_outsiders_package_is_installed_tested_and_trained(tmp_path: Path) -> None:
    """What a stranger does, in folders of their own; nothing is fetched."""
    ignored = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    source, site = tmp_path / "source", tmp_path / "site"
    shutil.copytree(EXAMPLES / "outsider_package", source, ignore=ignored)
    offline = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet"]
    python("-m", "pip", "install", *offline, "--target", str(site), str(source), cwd=tmp_path)
    shutil.copytree(source / "tests", tmp_path / "tests")  # away from the sources
    out = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=tmp_path, path=site)
    assert "passed" in out
    assert "acme/Boutique-v0" in python("-m", "slategym", "envs", "list", cwd=tmp_path, path=site)
    world = tiny_world().save(tmp_path / "world")
    train = ["-m", "slategym", "train", "--world", str(world), "--variant", "acme/Boutique-v0"]
    train += ["--frames", "4096", "--out", "run", "-s", "num_envs=64", "--json"]
    done = json.loads(python(*train, cwd=tmp_path, path=site))
    assert done["frames"] >= 4096
    bench = ["-m", "slategym", "bench", "--world", str(world), "--run", "run", "--users", "64"]
    bench += ["--policies", "random", "--out", "bench", "--json"]
    results = json.loads(python(*bench, cwd=tmp_path, path=site))
    assert {row["name"] for row in results["policies"]} >= {"random"}


# What the command line shows.


@pytest.mark.parametrize("variant_id", list_variants())
def test_every_parameter_is_shown_with_range_and_meaning(variant_id: str) -> None:
    variant = get_variant(variant_id)
    rows = [row for section in sections(variant) for row in section.rows]
    slots = {"candidates", "response", "choice", "reward"}
    assert {row.name for row in rows} == set(variant.parameters) - slots
    assert all(row.meaning for row in rows)
    assert all(row.allowed for row in rows if row.name not in TASK)
    text = describe(variant, 80)
    assert max(map(len, text.splitlines())) <= 80
    assert "``" not in text


def test_listings_fit_a_terminal() -> None:
    variants = [get_variant(name) for name in list_variants()]
    text = listing(variants, 80)
    assert all(variant.id in text for variant in variants)
    assert max(map(len, text.splitlines())) <= 80


def test_show_and_check_take_a_variant_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "task.yaml"
    path.write_text("id: filecli/A-v0\nbase: slategym/World-v0\nset: {patience: 2}\n")
    assert run(["envs", "show", "filecli/A-v0", "--import", str(path)]) == 0
    out = capsys.readouterr().out
    assert "patience           2 " in out
    assert "leaving: patience" in out
    assert run(["envs", "check", "filecli/A-v0", "--import", str(path)]) == 0
    assert "equal seeds give equal bytes" in capsys.readouterr().out
    assert run(["envs", "check", "filecli/A-v0", "--import", str(path), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["checked"]) > 5
    path.write_text("id: filecli/B-v0\nbase: slategym/World-v0\nset: {patiens: 2}\n")
    assert run(["envs", "list", "--import", str(path)]) == 2
    assert f"{path}:3, set.patiens: " in capsys.readouterr().err


def test_an_episode_as_text_and_as_gif(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["envs", "render", "slategym/World-v0", "--policy", "cf-greedy", "--steps", "3"]
    assert run(command) == 0
    text = capsys.readouterr().out
    assert text.count("slate ") == 3
    assert "(score " in text
    out = tmp_path / "episode.gif"
    assert run([*command, "--out", str(out), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["slates"] == 3
    with Image.open(out) as gif:
        assert gif.n_frames == 3
    assert run([*command, "--out", str(tmp_path / "episode.mp4")]) == 2
    assert "must be named .gif" in capsys.readouterr().err
    assert run(["envs", "render", "slategym/World-v0", "--policy", "cf-gredy"]) == 2
    assert "Did you mean 'cf-greedy'" in capsys.readouterr().err


def test_an_episode_of_a_classic_under_its_oracles(capsys: pytest.CaptureFixture[str]) -> None:
    def total(task: str, policy: str) -> float:
        command = ["envs", "render", f"slategym/{task}-v0", "--policy", policy]
        assert run([*command, "--seed", "1", "--steps", "300", "--json"]) == 0
        summary = json.loads(capsys.readouterr().out)
        assert summary["ended"]
        return float(summary["return"])

    # Patience pays where myopia eats up satisfaction; one who knows the user beats one who guesses.
    hard = {name: total("LongTermSatisfactionHard", name) for name in ("optimal", "myopic")}
    assert hard["optimal"] > hard["myopic"]
    niche = {name: total("NicheExploration", name) for name in ("bayes_greedy", "random")}
    assert niche["bayes_greedy"] > niche["random"]
    command = ["envs", "render", "slategym/NicheExploration-v0", "--policy", "bayes_gredy"]
    assert run(command) == 2
    assert "Did you mean 'bayes_greedy'" in capsys.readouterr().err


@pytest.mark.parametrize("variant_id", list_variants())
@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
def test_both_faces_render_every_variant(variant_id: str, mode: str) -> None:
    env = gymnasium.make(variant_id, render_mode=mode)
    envs = gymnasium.make_vec(variant_id, num_envs=2, render_mode=mode)
    env.reset(seed=0)
    envs.reset(seed=0)
    first = env.render()
    env.action_space.seed(0)
    action = env.action_space.sample()
    env.step(action)
    envs.step([action, action])
    shown = env.render()
    both = envs.render()
    assert len(both) == 2
    if mode == "ansi":
        assert shown == both[0] != first
    else:
        assert (shown == both[0]).all()
        assert shown.shape == first.shape
        assert (shown != first).any()


def test_gymnasiums_render_collection_works() -> None:
    from gymnasium.wrappers import RenderCollection

    env = RenderCollection(gymnasium.make("slategym/World-v0", render_mode="rgb_array"))
    env.reset(seed=0)
    for _ in range(2):
        env.step(env.action_space.sample())
    frames = env.render()
    assert len(frames) == 3
    assert len({frame.shape for frame in frames}) == 1


@pytest.mark.parametrize("page", ["variants.md", "rendering.md"])
def test_the_python_of_the_documents_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    if page == "variants.md":
        (yaml,) = re.findall(r"^```yaml\n(.*?)^```", text, re.M | re.S)
        assert len(yaml.strip().splitlines()) == 5  # what the page promises
        (tmp_path / "impatient.yaml").write_text(yaml, encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), {})
    if page == "variants.md":
        assert {"acme/Impatient-v0", "acme/Liked-v0"} <= set(list_variants())
    else:
        assert (tmp_path / "episode.gif").is_file()
