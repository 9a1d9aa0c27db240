"""The check of reference folders: folders made here, whose numbers come from plain loops."""

import json
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slategym.benchmarks.off_policy import check_folder, main


def bandit_case(rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
    behaviour, evaluation = rng.dirichlet(np.ones(4), 50), rng.dirichlet(np.ones(4), 50)
    action = np.array([rng.choice(4, p=p) for p in behaviour])
    reward, model = rng.integers(0, 2, 50), rng.random((50, 4))
    pscore = behaviour[np.arange(50), action]
    ipw = snipw = dr = clipped = over = 0.0
    for i in range(50):
        weight = evaluation[i, action[i]] / pscore[i]
        value = sum(evaluation[i, a] * model[i, a] for a in range(4))
        ipw += weight * reward[i] / 50
        over += weight / 50
        dr += (value + weight * (reward[i] - model[i, action[i]])) / 50
        clipped += (value + min(weight, 1.5) * (reward[i] - model[i, action[i]])) / 50
    snipw = ipw / over
    estimates = {"ipw": ipw, "snipw": snipw, "dr": dr, "dr_clip_1.5": clipped}
    estimates |= {"diag": {"w_mean": over}, "made_up": 1.0}
    told = {"estimates": estimates, "n": 50, "n_actions": 4, "behavior_mean": reward.mean()}
    arrays = {
        "action": action.astype(np.uint8),
        "reward": reward.astype(np.uint8),
        "pscore": pscore,
        "pi_e": evaluation,
        "q_hat": model,
    }
    return told, arrays


def slate_case(rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
    slates = np.array(list(permutations(range(4), 2)))
    logged, judged = rng.dirichlet(np.ones(12), 30), rng.dirichlet(np.ones(12), 30)
    chosen = np.array([rng.choice(12, p=p) for p in logged])
    action, reward = slates[chosen], rng.random((30, 2))
    rows = np.arange(30)

    def slot(policy: np.ndarray) -> np.ndarray:
        return np.array(
            [[policy[i][slates[:, k] == action[i, k]].sum() for k in range(2)] for i in range(30)]
        )

    def cascade(policy: np.ndarray) -> np.ndarray:
        return np.stack([slot(policy)[:, 0], policy[rows, chosen]], axis=1)

    weight = judged[rows, chosen] / logged[rows, chosen]
    steps = cascade(judged) / cascade(logged)
    estimates = {
        "sips": float((weight * reward.sum(axis=1)).mean()),
        "iips": float((slot(judged) / slot(logged) * reward).sum(axis=1).mean()),
        "snrips": float(((steps * reward).sum(axis=0) / steps.sum(axis=0)).sum()),
    }
    arrays = {
        "action": action.astype(np.uint8),
        "reward": reward,
        "pscore_slate": logged[rows, chosen],
        "pi_e_slate": judged[rows, chosen],
        "pscore_item_position": slot(logged),
        "pi_e_item_position": slot(judged),
        "pscore_cascade": cascade(logged),
        "pi_e_cascade": cascade(judged),
    }
    return {"estimates": estimates, "len_list": 2, "factorizable": False}, arrays


def write_folder(folder: Path, cases: dict[str, tuple[dict[str, Any], dict[str, Any]]]) -> None:
    folder.mkdir(exist_ok=True)
    for name, (_, arrays) in cases.items():
        np.savez(folder / f"{name}.npz", **arrays)
    told = {name: {"fixture": f"elsewhere/{name}.npz", **one} for name, (one, _) in cases.items()}
    (folder / "reference.json").write_text(json.dumps({"spec": {}, "cases": told}))


@pytest.fixture
def cases() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    rng = np.random.default_rng(4)
    return {"one": bandit_case(rng), "two": slate_case(rng)}


def test_a_right_folder_passes_and_unknown_keys_are_counted(
    tmp_path: Path, cases: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(tmp_path, cases)
    assert main([str(tmp_path)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1].startswith("worst error: ")
    assert printed[-2] == "13 numbers checked, 1 not checked"
    assert any("estimates.made_up  not checked" in line for line in printed)
    assert any(line.startswith("two  estimates.snrips  ours ") for line in printed)
    checks = list(check_folder(tmp_path))
    assert max(check.error for check in checks if check.checked) < 1e-12


def test_a_wrong_number_fails(
    tmp_path: Path, cases: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    cases["two"][0]["estimates"]["sips"] += 2e-6
    write_folder(tmp_path, cases)
    assert main([str(tmp_path), "--quiet"]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert "ABOVE 1e-6" in printed[1]
    assert "(two  estimates.sips)" in printed[-1]


def test_the_kind_of_a_case_is_told_by_its_arrays(
    tmp_path: Path, cases: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(tmp_path, {"slate_x": cases["one"], "obd_y": cases["two"]})
    assert main([str(tmp_path)]) == 0
    assert "obd_y  estimates.sips  ours" in capsys.readouterr().out


def test_a_case_without_its_file_is_not_checked(
    tmp_path: Path, cases: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(tmp_path, cases)
    (tmp_path / "two.npz").unlink()
    assert main([str(tmp_path)]) == 0
    assert "8 numbers checked, 6 not checked" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("cut", "one.npz is not a readable npz file"),
        ("kind", "is no kind of case known here"),
        ("json", "is not a JSON file"),
        ("cases", "has no cases"),
        ("files", "has no npz file of the 2 cases"),
        ("gone", "does not exist"),
    ],
)
def test_bad_folders_give_one_sentence(
    tmp_path: Path,
    cases: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    damage: str,
    said: str,
) -> None:
    write_folder(tmp_path, cases)
    one = tmp_path / "one.npz"
    if damage == "cut":
        one.write_bytes(one.read_bytes()[:-200])
    elif damage == "kind":
        np.savez(one, strange=np.ones(2))
    elif damage == "files":
        one.unlink()
        (tmp_path / "two.npz").unlink()
    elif damage == "gone":
        (tmp_path / "reference.json").unlink()
    else:
        (tmp_path / "reference.json").write_text("{" if damage == "json" else "{}")
    assert main([str(tmp_path)]) == 3
    wrong = capsys.readouterr().err
    assert said in wrong
    assert wrong.count("\n") == 1


def test_sequences_and_diversity_are_recomputed(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    logged, judged = rng.dirichlet(np.ones(2), 3), rng.dirichlet(np.ones(2), 3)
    state, action = rng.integers(0, 3, (20, 4)), rng.integers(0, 2, (20, 4))
    alive = np.arange(4)[None, :] < rng.integers(1, 5, 20)[:, None]
    reward = rng.random((20, 4))
    tis = 0.0
    for i in range(20):
        weight, total = 1.0, 0.0
        for t in range(4):
            if alive[i, t]:
                weight *= judged[state[i, t], action[i, t]] / logged[state[i, t], action[i, t]]
                total += 0.8**t * reward[i, t]
        tis += weight * total / 20
    sequence = {
        "state": state, "action": action, "reward": reward, "alive": alive, "pi_b": logged,
        "pi_e": judged, "q_hat_t_s_a": rng.random((4, 3, 2)), "d0": np.full(3, 1 / 3),
        "P": rng.dirichlet(np.ones(3), (3, 2)), "R": rng.random((3, 2)),
        "hazard": np.zeros((3, 2)),
    }  # fmt: skip
    lists = np.stack([rng.permutation(9)[:3] for _ in range(5)])
    pairs = np.stack([np.repeat(np.arange(5), 2), rng.permutation(np.tile(np.arange(5), 2))], 1)
    content = {
        "rec_items": lists, "rec_scores": -np.sort(-rng.random((5, 3)), axis=1), "train": pairs,
        "test": pairs, "genres": np.eye(9, 3, dtype=np.uint8) + np.eye(9, 3, -1, np.uint8) + 1,
        "embeddings": rng.normal(size=(9, 4)),
    }  # fmt: skip
    unit = content["embeddings"] / np.linalg.norm(content["embeddings"], axis=1, keepdims=True)
    apart = [1 - unit[r[a]] @ unit[r[b]] for r in lists for a, b in ((0, 1), (0, 2), (1, 2))]
    order = {"3": lists[3, :2].tolist()}
    closed = {"ild_cosine": float(np.mean(apart)), "mmr_lambda1.0_top2": order}
    write_folder(
        tmp_path,
        {
            "a": ({"gamma": 0.8, "estimates": {"tis": tis}, "T": 4}, sequence),
            "b": ({"closed_form": closed, "K": 3}, content),
        },
    )
    checks = list(check_folder(tmp_path))
    assert [c.key for c in checks] == [
        "estimates.tis", "T", "closed_form.ild_cosine", "closed_form.mmr_lambda1.0_top2.3", "K",
    ]  # fmt: skip
    assert all(c.checked and c.error < 1e-9 for c in checks)
