"""Decides who runs and when a job is over: gather rows and Jobs, plan purely, apply with fences."""
