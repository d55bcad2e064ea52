"""How the services speak of themselves: structured logs, metrics from one typed list, and an operations endpoint."""
