"""A step as text, picture and GIF: deterministic, whole, of one size, and nothing overlaps."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from slategym.envs import render_text
from slategym.envs.protocol import Step
from slategym.envs.render import ansi, outcome, slate_view
from slategym.envs.render_gif import save_gif
from slategym.envs.render_picture import _HUES, WIDTH, draw_slate, shape_of
from slategym.envs.render_text import drawable, fit, font, initials, width, wrap
from slategym.envs.render_view import Card, Gauge, SlateView, as_text
from slategym.envs.single import SlateEnv
from slategym.envs.tiny import tiny_world
from slategym.envs.world import World
from slategym.errors import UsageError


def jpeg(colour: tuple[int, int, int], size: tuple[int, int] = (90, 60)) -> bytes:
    """An encoded picture of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, format="JPEG", quality=95)
    return buffer.getvalue()


def view_of(places: int, taken: int = 0, **changes: object) -> SlateView:
    """A view of ``places`` cards, one of them taken."""
    cards = tuple(
        Card(
            f"A film with a rather long name, part {place}",
            group=place,
            facts=("Drama, War", "104 min"),
            taken=place == taken,
            outcome="watched 75 %, 78.0 min, rated 0.70" if place == taken else "",
            share=0.75 if place == taken else None,
        )
        for place in range(places)
    )
    return replace(SlateView("user u7", cards, reward=0.75, terms=(("watch", 0.75),)), **changes)


def step_of(world: World, **changes: object) -> Step:
    """A step of two users: the first takes the second of three places, the last is empty."""
    slate = np.array([[3, 8, -1], [1, 2, 4]], np.int32)
    click = np.array([[0, 1, 0], [0, 0, 0]], np.float32)
    info = {
        "user": np.array([5, 9], np.int32),
        "slate": slate,
        "response": {"click": click, "watch": click / 2, "minutes": click * 6},
        "reward_terms": {
            "watch": np.array([0.5, 0], np.float32),
            "leave": np.array([0, -2], np.float32),
        },
    }
    assert world.n_items > 8
    step = Step(
        reward=np.array([0.5, -2.0], np.float32),
        terminated=np.array([False, True]),
        truncated=np.array([False, False]),
        info=info,
    )
    return step._replace(**changes)


def test_a_step_as_text_names_what_was_taken_and_why_it_ended() -> None:
    world = tiny_world()
    first, second = (ansi(world, step_of(world), row) for row in (0, 1))
    assert first.splitlines()[0] == "user u5"
    assert "> 2. Item 8 on topic 2 [topic 2; " in first
    assert "watched 50 %, 6.0 min" in first
    assert "  3. (empty)" in first
    assert "reward +0.50 = watch +0.50" in first
    assert "nothing was taken" not in first
    assert "nothing was taken" in second
    assert "the user left" in second


def test_before_the_first_step_there_is_nothing_to_show() -> None:
    world = tiny_world()
    assert "no slate was shown yet" in ansi(world, None, 0, user=3)
    picture = draw_slate(slate_view(world, None, 0, slots=10, user=3))
    assert picture.shape == shape_of(10)


def test_a_view_tells_scores_context_and_price() -> None:
    world = tiny_world()
    view = slate_view(
        world,
        step_of(world),
        0,
        facts=("step 3 of 60",),
        gauges=(Gauge("patience", 0.5, "3.0"),),
        scores=np.array([0.25, -1.0, 0.0]),
    )
    assert view.cards[0] is not None
    assert view.cards[2] is None
    assert view.cards[0].score == 0.25
    text = as_text(view)
    assert "step 3 of 60" in text
    assert "patience 3.0" in text
    assert "(score +0.25)" in text


@pytest.mark.parametrize(
    ("response", "told"),
    [
        ({"click": 1.0}, "clicked"),
        ({"click": 0.0, "watch": 0.0, "rating": 0.0}, ""),
        ({"click": 1.0, "cart": 1.0, "purchase": 1.0}, "in the cart, bought"),
        ({"click": 1.0, "watch": 0.1, "skip": 1.0}, "watched 10 %, skipped"),
        ({"click": 1.0, "engagement": 3.5}, "engagement 3.50"),
        ({"click": 1.0, "rating": float("nan")}, "clicked"),
    ],
)
def test_feedback_in_words(response: dict[str, float], told: str) -> None:
    assert outcome(response) == told


@pytest.mark.parametrize("places", [1, 2, 5, 6, 7, 10, 18, 40])
def test_pictures_are_of_one_size_for_a_slate_size(places: int) -> None:
    picture = draw_slate(view_of(places))
    assert picture.dtype == np.uint8
    assert picture.shape == shape_of(places)
    assert picture.shape[0] % 2 == 0  # video codecs need it
    assert picture.shape == draw_slate(view_of(places, taken=-1, ending="the user left")).shape
    assert draw_slate(replace(view_of(places), reward=None)).shape == picture.shape


def test_one_row_is_about_900_by_420() -> None:
    assert shape_of(5) == (420, WIDTH, 3)


def test_equal_views_give_equal_bytes_and_what_was_taken_is_seen() -> None:
    picture = draw_slate(view_of(5))
    assert picture.tobytes() == draw_slate(view_of(5)).tobytes()
    other = draw_slate(view_of(5, taken=3))
    assert (picture != other).any(axis=(0, 2)).sum() > 200  # columns of two cards differ


def test_an_items_picture_is_drawn_and_a_damaged_one_is_replaced_by_initials() -> None:
    red = SlateView("u", (Card("Red", picture=jpeg((200, 20, 20))),), reward=0.0)
    area = draw_slate(red)[80:200, WIDTH // 2 - 20 : WIDTH // 2 + 20]
    assert abs(area[60].mean(axis=0) - (200, 20, 20)).max() < 12
    damaged = SlateView("u", (Card("Red", picture=b"no picture"),), reward=0.0)
    without = SlateView("u", (Card("Red"),), reward=0.0)
    assert draw_slate(damaged).tobytes() == draw_slate(without).tobytes()


def test_nothing_is_written_outside_the_margins() -> None:
    long = "An unreasonably long sentence that goes on and on without an end in sight " * 4
    card = Card(long, facts=(long,), taken=True, outcome=long, share=1.0, score=-1234.5)
    gauges = tuple(Gauge(long, 2.0, "1,000,000 of 1,000,000") for _ in range(5))
    picture = draw_slate(
        SlateView(long, (card,) * 5, (long,), gauges, -1e6, ((long, 1.0),), ending=long)
    )
    paper = picture[0, 0]
    for edge in (picture[:, :18], picture[:, -18:], picture[:8], picture[-8:]):
        assert (edge == paper).all()


def test_white_letters_are_legible_on_every_hue() -> None:
    def luminance(colour: tuple[int, int, int]) -> float:
        linear = [
            c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4
            for c in (channel / 255 for channel in colour)
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    assert min(1.05 / (luminance(hue) + 0.05) for hue in _HUES) >= 4.5


def test_text_is_wrapped_and_cut_to_the_width() -> None:
    face = font(14)
    text = "Donaudampfschifffahrtsgesellschaftskapitän and the ordinary words after it"
    lines = wrap(text, face, 120, 3)
    assert len(lines) == 3
    assert all(width(line, face) <= 120 for line in lines)
    assert lines[-1].endswith("…")
    assert wrap("short", face, 120, 3) == ["short"]
    assert wrap("", face, 120, 3) == []
    assert fit("short", face, 120) == "short"


def test_what_the_font_lacks_is_written_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawable("Amélie\n(2001)") == "Amélie (2001)"
    assert drawable("七人の侍") == "????"
    assert initials("Amélie Poulain (2001)") == "AP"
    assert initials("2001") == "2"
    caches = (render_text._font_folder, render_text._has, drawable, font)
    for cached in caches:
        cached.cache_clear()
    monkeypatch.setattr(render_text.importlib.util, "find_spec", lambda _: None)
    try:
        assert drawable("Amélie") in {"Amelie", "Amélie"}  # Pillow's own font may lack the accent
        assert draw_slate(view_of(3)).shape == shape_of(3)
    finally:
        for cached in caches:
            cached.cache_clear()


def frames_of(count: int) -> list[np.ndarray]:
    """Pictures of ``count`` steps."""
    return [draw_slate(view_of(3, taken=number % 4)) for number in range(count)]


def test_a_gif_holds_every_frame_and_is_written_whole(tmp_path: Path) -> None:
    frames = frames_of(4)
    path = save_gif(frames, tmp_path / "episode.gif", fps=4)
    with Image.open(path) as gif:
        assert gif.n_frames == 4
        assert gif.size == (WIDTH, frames[0].shape[0])
        assert gif.info["duration"] == 250
        assert gif.info["loop"] == 0
        first = np.asarray(gif.convert("RGB")).astype(int)
    assert abs(first - frames[0]).mean() < 3
    assert [entry.name for entry in tmp_path.iterdir()] == ["episode.gif"]
    again = save_gif(frames, tmp_path / "again.gif", fps=4)
    assert again.read_bytes() == path.read_bytes()


def test_a_gif_too_large_is_made_smaller(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = list(rng.integers(0, 255, (3, 120, 160, 3), np.uint8))
    small = save_gif(noise, tmp_path / "a.gif", largest=15_000)
    large = save_gif(noise, tmp_path / "b.gif")
    assert small.stat().st_size <= 15_000 < large.stat().st_size


def test_frames_that_make_no_gif_are_refused(tmp_path: Path) -> None:
    frames = frames_of(2)
    with pytest.raises(UsageError, match="at least one frame"):
        save_gif([], tmp_path / "a.gif")
    with pytest.raises(UsageError, match=r"named \.gif"):
        save_gif(frames, tmp_path / "a.mp4")
    with pytest.raises(UsageError, match="fps is 0"):
        save_gif(frames, tmp_path / "a.gif", fps=0)
    with pytest.raises(UsageError, match="frame 1 has shape"):
        save_gif([frames[0], frames[1][:100]], tmp_path / "a.gif")
    with pytest.raises(UsageError, match="frame 0 is float64"):
        save_gif([frames[0] / 255], tmp_path / "a.gif")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("variant_id", ["slategym/InterestEvolution-v0", "slategym/World-v0"])
def test_a_picture_before_the_first_step_has_the_size_of_those_after_it(variant_id: str) -> None:
    env = SlateEnv(variant=variant_id, slate_size=9, num_candidates=12, render_mode="rgb_array")
    env.reset(seed=0)
    before = env.render()
    assert env.simulation.slate_view(0).cards == (None,) * 9
    env.step(np.arange(9))
    assert before.shape == env.render().shape == shape_of(9) != shape_of(0)
