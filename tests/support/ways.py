"""The ways on which one part of the stack reaches another, each of which can fail by itself, and who is told of each."""

from __future__ import annotations

from enum import StrEnum


class Way(StrEnum):
    """Who connects, and to whom."""

    CLIENT_API = "client-api"
    API_POSTGRES = "api-postgres"
    API_S3 = "api-s3"
    API_NATS = "api-nats"
    CONTROLLER_POSTGRES = "controller-postgres"
    CONTROLLER_S3 = "controller-s3"
    CONTROLLER_NATS = "controller-nats"
    WORKER_GATEWAY = "worker-gateway"
    WORKER_TRITON = "worker-triton"
    WORKER_S3 = "worker-s3"

    @property
    def server(self) -> str:
        """The name of the port at its end."""
        return self.value.partition("-")[2]


TOLD = {
    "api": {
        "VIDETTE_DATABASE_URL": Way.API_POSTGRES,
        "VIDETTE_STORE_ENDPOINT": Way.API_S3,
        "VIDETTE_NATS_URL": Way.API_NATS,
        "VIDETTE_STORE_WORKER_ENDPOINT": Way.WORKER_S3,
    },
    "controller": {
        "VIDETTE_DATABASE_URL": Way.CONTROLLER_POSTGRES,
        "VIDETTE_STORE_ENDPOINT": Way.CONTROLLER_S3,
        "VIDETTE_NATS_URL": Way.CONTROLLER_NATS,
        "VIDETTE_GATEWAY_URL": Way.WORKER_GATEWAY,
        "VIDETTE_TRITON_URL": Way.WORKER_TRITON,
    },
}
"""Which setting of which service leads on which way. Workers are told by the two."""
