"""The core of Vidette: a pure domain, the ports it needs, and the adapters that fill them.

Read `domain/` first (what a job is), then `ports/` (what the outside must offer), then `adapters/` (who offers it today).
"""
