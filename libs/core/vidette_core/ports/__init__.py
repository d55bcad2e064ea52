"""What the domain needs from outside, as protocols: a job store, a blob store, a wake-up, a launcher and inference.

Each port names the errors its adapters raise, so that no caller learns which library stands behind it.
"""
