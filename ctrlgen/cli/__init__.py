"""The command line. Commands import what they need when they run, so that `--help` is instant."""

import typer

from ctrlgen.cli.batch import batch_command
from ctrlgen.cli.compile import compile_command
from ctrlgen.cli.generate import generate_command
from ctrlgen.cli.serve import serve_command
from ctrlgen.cli.trace import trace_command
from ctrlgen.cli.train import train_app
from ctrlgen.cli.train_policies import block_policy_command, commit_policy_command

app = typer.Typer(
    name="ctrlgen",
    help="Structured output from diffusion language models: valid at any budget.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("generate")(generate_command)
app.command("compile")(compile_command)
app.command("batch")(batch_command)
app.command("serve")(serve_command)
app.command("trace")(trace_command)
train_app.command("block-policy")(block_policy_command)
train_app.command("commit-policy")(commit_policy_command)
app.add_typer(train_app)
