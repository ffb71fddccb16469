"""The command line. Heavy imports stand inside the commands, so that ``--help`` answers at once.

Exit codes: 0 done, 1 the run failed, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import click

from scoot_ray import __version__
from scoot_ray.cli.calibrate import calibrate
from scoot_ray.cli.capacity import capacity
from scoot_ray.cli.choose import choose
from scoot_ray.cli.compare import compare
from scoot_ray.cli.diagnose import diagnose
from scoot_ray.cli.doctor import doctor
from scoot_ray.cli.explain import explain
from scoot_ray.cli.export import export
from scoot_ray.cli.init import init
from scoot_ray.cli.load import replay
from scoot_ray.cli.report import report
from scoot_ray.cli.reproduce import reproduce
from scoot_ray.cli.space import space
from scoot_ray.cli.studies import resume, status, tune, validate
from scoot_ray.cli.sweep import sweep
from scoot_ray.cli.trace import trace
from scoot_ray.cli.verify import verify


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__)
def main() -> None:
    """Find the best serving parameters of an LLM inference engine on your own traffic, and prove the SLO they hold."""


for _command in (
    init,
    validate,
    space,
    tune,
    resume,
    status,
    explain,
    report,
    diagnose,
    choose,
    export,
    compare,
    reproduce,
    verify,
    sweep,
    calibrate,
    replay,
    capacity,
    trace,
    doctor,
):
    main.add_command(_command)
