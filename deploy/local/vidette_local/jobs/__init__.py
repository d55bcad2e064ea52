"""The cluster of the embedded stack: what Kubernetes' Job controller does for workers, for processes of this machine."""
