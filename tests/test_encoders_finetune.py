"""Fine-tuning learns its three tasks, resumes to the same bytes, and refuses what it cannot use."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slategym.cli import run
from slategym.encoders.finetune import TaskModel, finetune
from slategym.encoders.finetune_config import FinetuneConfig
from slategym.encoders.tasks import (
    FinetuneData,
    Ratings,
    choice_factors,
    fit_biases,
    taste_factors,
)
from slategym.envs.tiny import tiny_world
from slategym.errors import DataError, UsageError

USERS, ITEMS = 60, 50
QUICK = FinetuneConfig(
    width=8, trunk=16, batch=400, epochs=6, patience=6, learning_rate=1e-2, dropout=0.1,
    own_decay=0.5, item_features=1.0, recommendation_features=1.0,
)  # fmt: skip


def case(seed: int = 0, texts: tuple[str, ...] = ()) -> FinetuneData:
    """Ratings that follow from a taste for what the item vectors say; the last items are cold."""
    rng = np.random.default_rng(seed)
    taste, nature = rng.standard_normal((USERS, 4)), rng.standard_normal((ITEMS, 4))
    pairs = np.argwhere(rng.random((USERS, ITEMS)) < 0.5)
    users, items = pairs[rng.permutation(len(pairs))].T
    values = 3 + (taste[users] * nature[items]).sum(axis=1) / 2
    values = np.clip(values + 0.3 * rng.standard_normal(len(users)), 1, 5)
    held = np.arange(len(users)) < len(users) // 5
    held |= items >= ITEMS - 8
    train = Ratings(users[~held], items[~held], values[~held])
    biases = fit_biases(train, USERS, ITEMS)
    return FinetuneData(
        train,
        Ratings(users[held], items[held], values[held]),
        np.concatenate([nature, rng.standard_normal((ITEMS, 3))], axis=1),
        USERS,
        choice_factors(train, USERS, ITEMS, factors=6),
        taste_factors(train, biases, USERS, ITEMS, factors=4, penalty=1.0),
        texts,
    )


def error(model: TaskModel, weight: float = 1.0) -> float:
    held = model.data.validation
    rest = held.values - model.biases.predict(held.users, held.items)
    return float(((rest - weight * model.scores(held.users, held.items)[:, 0]) ** 2).mean())


def test_ratings_of_warm_and_cold_items_are_told_better_than_by_biases() -> None:
    config = replace(QUICK, epochs=40, item_features=0.0, recommendation_features=0.0)
    model = finetune(case(), config)
    assert error(model) < 0.75 * error(model, 0.0)
    cold = model.data.validation.items >= ITEMS - 8
    held = model.data.validation
    rest = held.values - model.biases.predict(held.users, held.items)
    said = model.scores(held.users, held.items)[:, 0]
    assert np.corrcoef(rest[cold], said[cold])[0, 1] > 0.4


def test_all_tasks_are_learned_together() -> None:
    model = finetune(case(), replace(QUICK, epochs=40, patience=40))
    first, last = model.history[0], model.history[-1]
    for task in model.config.tasks:
        assert last[f"train/{task}"] < 0.8 * first[f"train/{task}"]
    assert model.scores([0, 1], [2, 3]).shape == (2, 3)


@pytest.mark.parametrize("balance", ["fixed", "uncertainty"])
def test_a_stopped_run_goes_on_and_ends_with_the_same_bytes(tmp_path: Path, balance: str) -> None:
    config = replace(QUICK, balance=balance, nested=(4,))  # type: ignore[arg-type]
    whole = finetune(case(), config, out=tmp_path / "whole")

    def stop(epoch: int, measures: Mapping[str, float]) -> None:
        assert measures["epoch"] == epoch
        if epoch == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        finetune(case(), config, out=tmp_path / "cut", tracker=stop)
    resumed = finetune(case(), config, out=tmp_path / "cut")
    assert resumed.history == whole.history
    for task, network in whole.networks.items():
        for name, value in network.arrays().items():
            np.testing.assert_array_equal(resumed.networks[task].arrays()[name], value)
    for name in ("best.safetensors", "state.safetensors", "finetune.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_finished_run_gives_its_best_pass_without_training(tmp_path: Path) -> None:
    first = finetune(case(), QUICK, out=tmp_path / "run")

    def never(epoch: int, measures: Mapping[str, float]) -> None:
        raise AssertionError(f"pass {epoch} was done again: {measures}")

    again = finetune(case(), QUICK, out=tmp_path / "run", tracker=never)
    np.testing.assert_array_equal(again.scores([1, 2], [3, 49]), first.scores([1, 2], [3, 49]))


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    finetune(case(), replace(QUICK, epochs=1), out=tmp_path / "run")
    with pytest.raises(UsageError, match="other config"):
        finetune(case(), replace(QUICK, epochs=2), out=tmp_path / "run")
    with pytest.raises(UsageError, match="other data"):
        finetune(case(1), replace(QUICK, epochs=1), out=tmp_path / "run")
    (tmp_path / "run" / "state.safetensors").write_bytes(b"")
    with pytest.raises(DataError, match="is damaged"):
        finetune(case(), replace(QUICK, epochs=1), out=tmp_path / "run")
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("dear")
    with pytest.raises(UsageError, match="not a fine-tuning run"):
        finetune(case(), QUICK, out=tmp_path / "letters")


def test_vectors_trained_to_be_cut_stay_good_when_cut() -> None:
    config = replace(QUICK, epochs=12)
    nested = finetune(case(), replace(config, nested=(2, 4)))
    assert nested.item_vectors("rating", 4).shape == (ITEMS, 4)
    np.testing.assert_array_equal(
        nested.item_vectors("rating", 4), nested.item_vectors("rating")[:, :4]
    )


def test_factors_rebuild_the_choices_they_were_made_of() -> None:
    data = case()
    seen = np.zeros((USERS, ITEMS))
    seen[data.train.users, data.train.items] = 1
    found = choice_factors(data.train, USERS, ITEMS, factors=40)
    said = found.users @ found.items.T
    warm = found.known
    assert np.corrcoef(said[:, warm].ravel(), seen[:, warm].ravel())[0, 1] > 0.95
    assert found.known.sum() == ITEMS - 8
    with pytest.raises(UsageError, match="60 factors do not fit"):
        choice_factors(data.train, USERS, ITEMS, factors=60)


def test_biases_are_shrunken_means() -> None:
    ratings = Ratings(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([5.0, 3.0, 4.0]))
    biases = fit_biases(ratings, 2, 3, user_shrink=1e9, item_shrink=1)
    assert biases.mean == 4.0
    np.testing.assert_allclose(biases.items, [1 / 3, -0.5, 0], atol=1e-5)


def test_wrong_settings_and_data_are_refused() -> None:
    with pytest.raises(UsageError, match="Did you mean 'width'"):
        FinetuneConfig.from_json({"widht": 3})
    with pytest.raises(UsageError, match="must be a int"):
        FinetuneConfig.from_json({"width": "wide"})
    assert FinetuneConfig.from_json(QUICK.to_json()) == QUICK
    with pytest.raises(UsageError, match="not all 0"):
        FinetuneConfig(rating=0, item_features=0, recommendation_features=0)
    with pytest.raises(UsageError, match="Known: adapter, full, lora"):
        FinetuneConfig(mode="head")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="nested widths"):
        FinetuneConfig(width=8, nested=(8,))
    data = case()
    with pytest.raises(UsageError, match="no texts were given"):
        finetune(data, replace(QUICK, mode="lora"))
    with pytest.raises(DataError, match="ratings name users outside"):
        replace(data, n_users=10)
    with pytest.raises(DataError, match="must be finite"):
        Ratings(np.array([0]), np.array([0]), np.array([np.nan]))


def tiny_encoder(folder: Path) -> object:
    """A BERT of two layers with random weights, saved and loaded as any model is."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    from slategym.encoders.text import hub_text

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghij"]
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    shape = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=16,
    )  # fmt: skip
    BertModel(shape).save_pretrained(folder)
    return hub_text(str(folder), precision="float32", pooling="mean")


@pytest.mark.parametrize("mode", ["lora", "full"])
def test_the_encoder_itself_is_trained_and_resumed(tmp_path: Path, mode: str) -> None:
    texts = tuple(" ".join("abcdefghij"[(row * step) % 10] for step in (1, 2, 3))
                  for row in range(ITEMS))  # fmt: skip
    encoder = tiny_encoder(tmp_path / "bert")
    config = replace(QUICK, mode=mode, epochs=2, encoder_items=16, rank=2, max_tokens=8,
                     encoder_learning_rate=1e-2)  # type: ignore[arg-type]  # fmt: skip
    data = case(texts=texts)
    data = replace(data, item_vectors=np.random.default_rng(0).standard_normal((ITEMS, 16)))
    model = finetune(data, config, out=tmp_path / "run", encoder=encoder)
    one = finetune(data, replace(config, epochs=1), encoder=tiny_encoder(tmp_path / "b2"))
    assert one.history[0]["validation/rating"] > 0

    def stop(epoch: int, measures: Mapping[str, float]) -> None:
        if epoch == 1 and measures:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        finetune(data, config, out=tmp_path / "cut", encoder=encoder, tracker=stop)
    resumed = finetune(data, config, out=tmp_path / "cut", encoder=encoder)
    np.testing.assert_array_equal(resumed.scores([1], [2]), model.scores([1], [2]))
    names = (tmp_path / "run" / "best.safetensors").read_bytes()
    assert (b"query.up" in names) == (mode == "lora")


def test_the_command_tunes_on_a_world_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tiny_world(items=40, users=60).save(tmp_path / "town"))
    command = ["finetune", folder, "--out", str(tmp_path / "run"), "-s", "epochs=2", "--json"]
    assert run(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["best"]) == {"rating", "item_features", "recommendation_features"}
    assert run(command) == 0
    assert json.loads(capsys.readouterr().out) == told
    assert run([*command, "-s", "widht=3"]) == 2
    assert "Did you mean 'width'" in capsys.readouterr().err
