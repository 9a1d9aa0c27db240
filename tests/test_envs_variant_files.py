"""Variants from files and from installed packages: five lines are a task, mistakes name a line."""

import json
import logging
import os
import subprocess
import sys
import textwrap
from importlib.metadata import EntryPoint
from pathlib import Path

import gymnasium
import pytest

from slategym.envs import entry_points
from slategym.envs.registry import get_variant, list_variants, register_variant
from slategym.envs.single import SlateEnv
from slategym.envs.variant import Variant
from slategym.envs.variant_files import load_variants, register_variants_from
from slategym.envs.variant_source import LARGEST
from slategym.errors import DataError, SlateGymError, UsageError


def write(folder: Path, text: str, name: str = "tasks.yaml") -> Path:
    """Write a variant file."""
    path = folder / name
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def test_five_lines_are_a_new_task(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """\
        id: filetest/Impatient-v0
        base: slategym/World-v0
        set:
          patience: 2
          slate_size: 3
        """,
    )
    (variant,) = load_variants(path)
    assert variant.id == "filetest/Impatient-v0"
    assert variant.parameters["patience"] == 2.0
    assert variant.slate_size == 3
    assert variant.description == "slategym/World-v0 with patience = 2, slate_size = 3."
    base = get_variant("slategym/World-v0").parameters
    changed = {name for name, value in variant.parameters.items() if base[name] != value}
    assert changed == {"patience", "slate_size"}
    assert "filetest/Impatient-v0" not in list_variants()


def test_parts_are_added_exchanged_and_left_out(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """\
        variants:
          - id: acme/One-v0
            base: slategym/World-v0
            parts:
              - {part: prop_cascade}
              - part: like
                like_scale: 2e0
            without: [budget]
            world: worlds/mine
          - id: acme/Two-v0
            base: acme/One-v0
            description: Built on the one above.
        """,
    )
    one, two = load_variants(path)
    assert isinstance(one, Variant)
    assert isinstance(two, Variant)
    assert one["choice"].name == "prop_cascade"
    assert one.parameters["like_scale"] == 2.0
    assert one.find("budget") is None
    assert one.world == str(tmp_path / "worlds" / "mine")
    assert two.parts == one.parts
    assert two.description == "Built on the one above."


def test_a_whole_variant_has_exactly_its_parts_and_json_is_the_same(tmp_path: Path) -> None:
    (whole,) = load_variants(
        write(tmp_path, "id: acme/Whole-v0\nparts: [{part: uniform}, {part: patience}]\n")
    )
    assert isinstance(whole, Variant)
    assert {part.name for part in whole.parts} == {
        "uniform", "taste", "logit", "patience", "reward"
    }  # fmt: skip
    path = write(tmp_path, json.dumps({"variants": [whole.to_json()]}), "tasks.json")
    assert load_variants(path) == [whole]


@pytest.mark.parametrize("variant_id", list_variants())
def test_every_variant_survives_a_file(variant_id: str, tmp_path: Path) -> None:
    variant = get_variant(variant_id)
    for name in ("tasks.json", "tasks.yaml"):  # JSON is YAML too
        path = write(tmp_path, json.dumps(variant.to_json()), name)
        assert load_variants(path) == [variant]
    changed = write(tmp_path, f"id: acme/Copy-v0\nbase: {variant_id}\nset: {{horizon: 7}}\n")
    assert load_variants(changed)[0].horizon == 7


WORLD = "id: a/B-v0\nbase: slategym/World-v0\n"


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        (WORLD + "set:\n  bordom: 2\n", ":4, set.bordom", "Did you mean 'boredom'"),
        (WORLD + "set:\n  horizon: 9\n  patience: -2\n", ":5, set.patience", "is -2; it must be"),
        (WORLD + "set:\n  slate_size: 9\n  num_candidates: 8\n", ":3, set", "is larger than"),
        (WORLD + "patience: 3\n", ":3, patience", "A parameter goes under 'set'"),
        (WORLD + "sett: {}\n", ":3, sett", "Did you mean 'set'"),
        (WORLD + "without: [patiense]\n", ":3, without", "Did you mean 'patience'"),
        (WORLD + "set: 3\n", ":3, set", "must map parameters to values; got 3"),
        (WORLD + "description: 3\n", ":3, description", "must be text; got 3"),
        ("id: a/B-v0\nbase: slategym/Wrold-v0\n", ":2, base", "Did you mean 'slategym/World-v0'"),
        ("id: a/B\nbase: slategym/World-v0\n", ":1, id", "is malformed"),
        ("id: a/B-v0\nslate_sise: 3\n", ":2, slate_sise", "Did you mean 'slate_size'"),
        ("id: a/B-v0\nparts:\n - part: patiense\n", ":3, parts[0].part", "'patience'"),
        (
            "id: a/B-v0\nparts:\n - part: patience\n   boredom: 1e9\n",
            ":4, parts[0].boredom",
            "must be a number in [0, 1000]",
        ),
        ("id: a/B-v0\nparts: [3]\n", ":2, parts[0]", "got 3"),
        ("id: a/B-v0\nset: {patience: 3}\n", ":2, set", "name it with 'base'"),
        ("id: a/B-v0\nhorizon: yes\n", ":2, horizon", "is 'yes'; it must be a whole number"),
        ("id: a/B-v0\nworld: 3\n", ":2, world", "must be a folder"),
        ("id: a/B-v0\nfamily: interest_evolutoin\n", ":2, family", "'interest_evolution'"),
        (
            "id: a/B-v0\nfamily: interest_evolution\nvideo_lenght: 3\n",
            ":3, video_lenght",
            "Did you mean 'video_length'",
        ),
        ("description: no id\n", ":1", "needs an 'id'"),
        ("variants:\n - id: a/B-v0\n - id: a/B-v0\n", ":3, variants[1].id", "comes twice"),
        ("variants: []\n", ":1, variants", "at least one variant"),
        ("variants: [{id: a/B-v0}]\nbase: x\n", ":2, base", "beside 'variants' nothing else"),
        ("- 3\n", ":1", "one variant"),
    ],
)
def test_a_wrong_variant_names_line_key_and_nearest(
    text: str, place: str, message: str, tmp_path: Path
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UsageError) as raised:
        load_variants(path)
    assert str(raised.value).startswith(f"{path}{place}: ")
    assert message in str(raised.value)


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join(['*' + old] * 10)}]\n"
    for old, new in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "", "is empty"),
        ("a.yaml", "id: a/B-v0\nid: a/C-v0\n", ":2 has the key 'id' again, after line 1"),
        ("a.yaml", "id: [\n", ":2 is not YAML"),
        ("a.yaml", "id: a\n--- \nid: b\n", "is not YAML"),
        ("a.yaml", "id: \x00", "is not YAML"),
        ("a.yaml", "id: !!python/object/apply:os.getcwd []\n", ":1 has the tag"),
        ("a.yaml", "1: 2\n", ":1 has a key that is not a text"),
        ("a.yaml", BOMB, "unfolds into more than"),
        ("a.yaml", "a: &a [*a]\n", "unfolds into more than"),
        ("a.yaml", "[" * 20_000, "nested too deeply"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.json", '{"id": 1, "id": 2}', "the key 'id' twice"),
        ("a.json", '{"id": NaN}', "holds NaN"),
        ("a.json", '{"id":\n\n', ":3 is not JSON"),
        ("a.yaml", "#" * (LARGEST + 1), "a variant file has at most"),
        ("a.toml", "id = 3", "must be named .yaml, .yml or .json"),
    ],
)
def test_a_malformed_file_is_refused(name: str, text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, text, name)
    with pytest.raises(DataError) as raised:
        load_variants(path)
    assert str(raised.value).startswith(str(path))
    assert message in str(raised.value)


def test_a_file_that_is_missing_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        load_variants(tmp_path / "no.yaml")
    (tmp_path / "a.yaml").write_bytes(b"id: \xff\xfe")
    with pytest.raises(DataError, match="is not UTF-8"):
        load_variants(tmp_path / "a.yaml")


def test_registering_a_file_is_all_or_nothing_and_may_be_repeated(tmp_path: Path) -> None:
    good = write(tmp_path, "id: filetest/A-v0\nbase: slategym/World-v0\nset: {horizon: 4}\n")
    assert register_variants_from(good) == ("filetest/A-v0",)
    assert register_variants_from(good) == ("filetest/A-v0",)
    env = gymnasium.make("filetest/A-v0")
    assert env.unwrapped.variant.horizon == 4
    other = write(
        tmp_path,
        """\
        variants:
          - {id: filetest/B-v0, base: slategym/World-v0}
          - {id: filetest/A-v0, base: slategym/World-v0, set: {horizon: 5}}
        """,
        "other.yaml",
    )
    with pytest.raises(UsageError, match="'filetest/A-v0' is taken by another variant"):
        register_variants_from(other)
    assert "filetest/B-v0" not in list_variants()


# Entry points: what an installed package declares.


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of modules, and entry points that are not of this environment."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("_waiting", "_announced"):
        monkeypatch.setattr(entry_points, name, {})
    monkeypatch.setattr(entry_points, "_broken", [])
    return tmp_path


def declare(monkeypatch: pytest.MonkeyPatch, *declared: tuple[str, str]) -> None:
    """Let packages declare names with values, and tell Gymnasium."""
    found = [EntryPoint(name, value, entry_points.GROUP) for name, value in declared]
    monkeypatch.setattr(entry_points, "_entry_points", lambda: found)
    entry_points.announce()


def test_an_id_is_known_at_once_and_its_module_imported_when_it_is_made(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        packages,
        """\
        from slategym.envs.variant import Variant
        SHOP = Variant("plugin/Shop-v0", horizon=3)
        """,
        "plugin_shop.py",
    )
    declare(monkeypatch, ("plugin/Shop-v0", "plugin_shop:SHOP"))
    assert "plugin/Shop-v0" in gymnasium.registry
    assert "plugin_shop" not in sys.modules
    env = gymnasium.make_vec("plugin/Shop-v0", num_envs=2, slate_size=2)
    assert "plugin_shop" in sys.modules
    assert env.variant.horizon == 3
    assert get_variant("plugin/Shop-v0").horizon == 3
    assert gymnasium.registry["plugin/Shop-v0"].kwargs["variant"]["horizon"] == 3


@pytest.mark.parametrize(
    ("name", "value", "ids"),
    [
        ("plugin0", "def make():\n    return Variant('plugin0/A-v0')\n", "A"),
        ("plugin1", "make = [Variant('plugin1/A-v0'), Variant('plugin1/B-v0')]\n", "AB"),
        ("plugin2", "def make():\n    register_variant(Variant('plugin2/A-v0'))\n", "A"),
        ("plugin3", "make = Variant('plugin3/A-v0')\nregister_variant(make)\n", "A"),
        ("plugin4", "def make():\n    yield Variant('plugin4/A-v0')\n", "A"),
    ],
)
def test_what_an_entry_point_may_give(
    name: str, value: str, ids: str, packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = "from slategym.envs.registry import register_variant\n"
    head += "from slategym.envs.variant import Variant\n"
    write(packages, head + value, f"{name}.py")
    declare(monkeypatch, (f"{name}/A-v0", f"{name}:make"), ("all-of-them", f"{name}:make"))
    known = list_variants()
    assert all(f"{name}/{one}-v0" in known for one in ids)
    assert entry_points.broken_entry_points() == ()


def test_a_broken_package_is_named_and_does_not_break_the_others(
    packages: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(packages, "raise RuntimeError('boom\\nand more')\n", "plugin_broken.py")
    write(packages, "OTHER = 3\nNONE = lambda: None\n", "plugin_wrong.py")
    write(
        packages,
        "from slategym.envs.variant import Variant\nGOOD = Variant('plugin/Good-v0')\n",
        "plugin_good.py",
    )
    with caplog.at_level(logging.WARNING, logger="slategym"):
        declare(
            monkeypatch,
            ("plugin/Broken-v0", "plugin_broken:X"),
            ("plugin/Absent-v0", "plugin_absent:X"),
            ("plugin/Other-v0", "plugin_wrong:OTHER"),
            ("plugin/None-v0", "plugin_wrong:NONE"),
            ("plugin/Good-v0", "plugin_good:GOOD"),
            ("slategym/World-v0", "plugin_good:GOOD"),
        )
        assert "plugin/Good-v0" in list_variants()
    problems = {one.name: one.problem for one in entry_points.broken_entry_points()}
    assert problems == {
        "plugin/Broken-v0": "RuntimeError: boom and more",
        "plugin/Absent-v0": "ModuleNotFoundError: No module named 'plugin_absent'",
        "plugin/Other-v0": "TypeError: 'int' object is not iterable",
        "plugin/None-v0": "'plugin_wrong:NONE' does not give a variant of that id",
        "slategym/World-v0": "the id 'slategym/World-v0' is taken",
    }
    assert len(caplog.records) == len(problems)
    assert all("\n" not in record.getMessage() for record in caplog.records)
    with pytest.raises(SlateGymError, match="declares it, but RuntimeError: boom"):
        gymnasium.make("plugin/Broken-v0")
    assert isinstance(gymnasium.make("slategym/World-v0").unwrapped, SlateEnv)


def test_an_installed_package_is_found_by_a_fresh_process(tmp_path: Path) -> None:
    info = tmp_path / "acme_fresh-1.0.dist-info"
    info.mkdir()
    write(info, "Metadata-Version: 2.1\nName: acme-fresh\nVersion: 1.0\n", "METADATA")
    write(info, "[slategym.variants]\nacme/Fresh-v0 = acme_fresh:V\n", "entry_points.txt")
    write(
        tmp_path,
        "from slategym.envs.variant import Variant\nV = Variant('acme/Fresh-v0', horizon=2)\n",
        "acme_fresh.py",
    )
    code = """\
        import sys
        import gymnasium
        import slategym.envs
        assert "acme_fresh" not in sys.modules
        env = gymnasium.make("acme/Fresh-v0")
        assert env.unwrapped.variant.horizon == 2
        envs = gymnasium.make_vec("acme/Fresh-v0", 3, observation="ids")
        assert envs.reset(seed=0)[0]["candidates"].shape == (3, 20)
        """
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
    subprocess.run(command, check=True, env=environment, timeout=120)


def test_registering_an_announced_id_by_hand_is_refused(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(monkeypatch, ("plugin/Hand-v0", "plugin_absent:X"))
    assert packages.is_dir()
    with pytest.raises(UsageError, match="is taken"):
        register_variant(Variant("plugin/Hand-v0"))
