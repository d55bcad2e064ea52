"""The one error of this program: what went wrong and what to do about it, in words for whoever started the cluster."""


class ClusterError(Exception):
    """Something the cluster needs is missing, died or took too long; the text is all that has to be shown."""
