"""The HTTP services: `public` is what clients see, `gateway` is for workers only. Two apps on two ports, one process."""
