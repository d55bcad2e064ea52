"""What Vidette knows, without I/O: job states, sampling, planning, the ledger, errors, results and pipelines.

Nothing here opens a socket or a file, reads a clock or the environment; import-linter holds it to that.
"""
