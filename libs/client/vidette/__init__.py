"""The Python client of Vidette and the `vidette` command."""
