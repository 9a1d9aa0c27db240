"""Both kinds of report in a headless browser: no request, no error, nothing wider than the page."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from slategym.benchmarks.experiment import AgentSpec, Experiment, Task
from slategym.benchmarks.experiment_page import write_experiment_page
from slategym.benchmarks.experiment_run import run_experiment
from slategym.benchmarks.report import write_report
from slategym.benchmarks.suite import run_benchmark
from slategym.envs.tiny import tiny_world

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# What a browser asks of its maker by itself, whatever the page.
_OWN = ("google.com", "googleapis.com", "gvt1.com")
# Told to the test through the title: what is wider than the place it has.
_MEASURE = """<script>
const wide = [...document.querySelectorAll("h1, h2, h3, p, li, th, td, dd, figcaption, .item")]
  .filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.textContent.slice(0, 40));
if (document.documentElement.scrollWidth > innerWidth) wide.push("the page itself");
document.title = JSON.stringify(wide);
</script>"""

_QUICK = {"frames": 512, "num_envs": 32, "n_steps": 8, "batch_size": 128, "evaluations": 0}
_SUITE = Experiment(
    "small",
    (
        Task(
            "films", "slategym/Video-v0", {"horizon": 12}, "tiny",
            ("random", "cf-greedy", "oracle-myopic"), (AgentSpec("agent", _QUICK),),
            references=("oracle-myopic",),
        ),
        Task(
            "kale", "slategym/LongTermSatisfactionHard-v0", {"time_budget": 8.0},
            policies=("random", "kale", "oracle:optimal"), best="oracle:optimal",
            references=("oracle:optimal",),
        ),
    ),
    (0, 1),
    users=24,
)  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> str:
    """Return a browser that can be run without a screen, or skip."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser is installed: none of {', '.join(_NAMES)} is on the path")
    return found


@pytest.fixture(scope="module", params=["suite", "bench"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a page of each kind."""
    folder = tmp_path_factory.mktemp("pages") / str(request.param)
    if request.param == "suite":
        run_experiment(_SUITE, folder)
        return write_experiment_page(folder)
    policies = ("random", "cf-greedy", "cf-mmr", "oracle-myopic")
    run_benchmark(tiny_world(), policies, (), folder, users=24, variant="slategym/Video-v0")
    return write_report(folder)


def opened(
    browser: str, page: Path, scratch: Path, *options: str
) -> tuple[str, list[str], set[str]]:
    """Return what a browser prints, its console's lines, and what it asked of the network."""
    log = scratch / "net.json"
    done = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--enable-logging=stderr", f"--user-data-dir={scratch / 'profile'}",
            f"--log-net-log={log}", *options, page.as_uri(),
        ],
        capture_output=True, text=True, timeout=180, check=True,
    )  # fmt: skip
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    events: list[dict[str, Any]] = json.loads(log.read_text())["events"]
    asked = {event["params"]["url"] for event in events if "url" in event.get("params", {})}
    asked = {url for url in asked if url.startswith(("http:", "https:", "ws:", "wss:", "ftp:"))}
    return done.stdout, console, {url for url in asked if not _by_itself(url)}


def _by_itself(url: str) -> bool:
    host = url.split("/")[2].split(":")[0]
    return any(host == own or host.endswith(f".{own}") for own in _OWN)


def test_the_test_sees_requests_and_errors(browser: str, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text('<img src="http://127.0.0.1:9/a.png"><script>console.error("boom")</script>')
    _, console, asked = opened(browser, page, tmp_path, "--dump-dom")
    assert any("boom" in line for line in console)
    assert asked == {"http://127.0.0.1:9/a.png"}


@pytest.mark.parametrize("scheme", [0, 1], ids=["dark", "light"])
def test_a_page_asks_for_nothing_and_says_nothing(
    browser: str, page: Path, scheme: int, tmp_path: Path
) -> None:
    _, console, asked = opened(
        browser, page, tmp_path, f"--blink-settings=preferredColorScheme={scheme}",
        "--window-size=1280,2000", f"--screenshot={tmp_path / 'shot.png'}",
    )  # fmt: skip
    assert console == []
    assert asked == set()
    assert (tmp_path / "shot.png").stat().st_size > 10_000


@pytest.mark.parametrize("width", [1280, 600])
def test_nothing_is_wider_than_its_place(
    browser: str, page: Path, width: int, tmp_path: Path
) -> None:
    text = page.read_text(encoding="utf-8")
    rules = text[text.index('<meta http-equiv="Content-Security-Policy"') :].split(">", 1)[0]
    copy = tmp_path / "measured.html"
    copy.write_text(text.replace(f"{rules}>", "").replace("</body>", f"{_MEASURE}</body>"))
    dom, _, _ = opened(browser, copy, tmp_path, f"--window-size={width},2000", "--dump-dom")
    title = dom[dom.index("<title>") + 7 : dom.index("</title>")]
    assert json.loads(title.replace("&amp;", "&")) == []


def test_a_page_can_be_printed_with_everything_open(
    browser: str, page: Path, tmp_path: Path
) -> None:
    paper = tmp_path / "page.pdf"
    opened(browser, page, tmp_path, f"--print-to-pdf={paper}")
    assert paper.read_bytes().startswith(b"%PDF")
    assert paper.read_bytes().count(b"/Type /Page\n") >= 3 or paper.stat().st_size > 100_000
