"""Random faults over many small jobs, against real servers, with a recorded history and one checker.

The tests in `tests/faults` cause one fault each, and their authors chose when. Here a seed chooses: what is sent, what is
killed, frozen or cut off, when, and what at the same time. `schedule` decides all of it beforehand and purely, so that a run that
went wrong can be replayed and shrunk; `run` carries it out on an embedded stack of its own whose parts reach each other through
proxies (`place`, `proxied`); `history` writes down what was done and seen; and `checker`, pure again, says what must not be.

    make chaos N=1000 SEED=7        # in episodes of a hundred faults, each on a fresh stack
    make chaos REPLAY=…/schedule.json
    make chaos SHRINK=…/schedule.json
"""
