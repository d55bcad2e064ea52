"""The parts of the stack, one module each: how it is prepared, what is run, and when it counts as ready."""
