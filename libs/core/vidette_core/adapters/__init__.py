"""Who fills the ports today. Adapters do not know each other; each turns its library's errors into those of `ports.errors`."""
