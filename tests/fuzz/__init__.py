"""Hostile uploads by the thousand: good clips and good forms, spoilt by chance, and what may not come of them.

    python -m tests.fuzz --cases 10000 --seed 1

A case is a pure function of a seed and a number, so whatever is found can be made again:

    python -m tests.fuzz --replay videos --seed 1 --case 4711

Videos are read by processes of their own, in which opening any file and any socket is death (`child`). A short part with a fixed
seed is in `tests/integration/test_hostile_files_end_with_a_code.py`; what was found has a test of its own there.
"""
