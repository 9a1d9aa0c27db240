"""The command `slategym`: its commands, its exit codes, and what a failure prints.

Nothing heavy is imported here: a command imports what it runs, so that `--help` stays instant.
"""

import os
import sys
import traceback
from itertools import pairwise
from typing import Annotated, Any

import typer

from slategym import __version__
from slategym.cli_bench import bench, report
from slategym.cli_build import build
from slategym.cli_cf import cf_app
from slategym.cli_demo import demo
from slategym.cli_encode import cache_app, encode, models_app
from slategym.cli_envs import envs_app
from slategym.cli_log import log
from slategym.cli_ope import ope
from slategym.cli_search import finetune, search
from slategym.cli_suite import leaderboard
from slategym.cli_train import train
from slategym.cli_train_offline import train_offline
from slategym.cli_world import world_app
from slategym.console import print_json
from slategym.doctor import doctor
from slategym.errors import SlateGymError

INTERRUPTED = 130

app = typer.Typer(
    name="slategym",
    help="Train and test recommender agents on simulated users fitted from logs.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong use, 3 wrong data, 130 stopped by Ctrl-C.",
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # typer's rich help imports a Markdown parser: 0.2 s of CPU each time
)
for command in (
    demo,
    build,
    train,
    train_offline,
    bench,
    report,
    leaderboard,
    log,
    ope,
    doctor,
    encode,
    finetune,
    search,
):
    app.command()(command)
app.add_typer(cache_app, name="cache")
app.add_typer(envs_app, name="envs")
app.add_typer(models_app, name="models")
app.add_typer(world_app, name="world")
app.add_typer(cf_app, name="cf")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"slategym {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the whole traceback of an error.")
    ] = False,
) -> None:
    """Train and test recommender agents on simulated users fitted from logs."""


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; a failure is one sentence on stderr.

    Args:
        arguments: What follows ``slategym`` on the command line.
    """
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        command = typer.main.get_command(app)
        code = command.main(arguments or ["--help"], prog_name="slategym", standalone_mode=False)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _fail(error, arguments, as_json="--json" in arguments)
    if code == INTERRUPTED:
        print("stopped; the same command resumes", file=sys.stderr)
    return code if isinstance(code, int) else 0


def _fail(error: Exception, arguments: list[str], *, as_json: bool) -> int:
    """Print an error as one sentence and return its exit code."""
    code, message = _describe(error, arguments)
    print(f"error: {message}", file=sys.stderr)
    if as_json:
        print_json({"error": message, "exit_code": code})
    return code


def _describe(error: Exception, arguments: list[str]) -> tuple[int, str]:
    """Return the exit code and the sentence of an error."""
    if isinstance(error, SlateGymError):
        return error.exit_code, str(error)
    # The parser's errors. Their base class has no public name in every typer since 0.15, which
    # bundles click in newer releases and depends on it in older ones; this method is in all.
    if hasattr(error, "format_message"):
        return 2, _wrong_use(error, arguments)
    if isinstance(error, OSError):
        return 1, f"{error.strerror or error}: {error.filename or 'no file named'}."
    return 1, f"{type(error).__name__}: {error} (--debug shows where; please report it)."


def _wrong_use(error: Any, arguments: list[str]) -> str:  # noqa: ANN401 - see `_describe`
    """Return what the parser found wrong, with what was given and the nearest right name."""
    context, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    near = getattr(error, "possibilities", None)
    said = f"{error.message}. Did you mean {near[0]}?" if near else error.format_message()
    names = getattr(parameter, "opts", ())
    values = [value for name, value in pairwise(arguments) if name in names]
    if values:
        said = f"{said.rstrip('.')}; got {values[-1]!r}"
    stop = "" if said.endswith((".", "?")) else "."
    return f"{said}{stop} See `{context.command_path if context else 'slategym'} --help`."


def main() -> None:
    """Run the command line and exit with its code."""
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` perhaps, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
    sys.exit(code)
