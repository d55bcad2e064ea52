"""`python -m vidette_local up|ps|down`: the stack's commands without the client's."""

from vidette_local.cli import app

app(prog_name="vidette")
