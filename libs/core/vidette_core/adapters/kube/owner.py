"""What owns every Job of an installation: with its Deployment gone, Kubernetes takes the Jobs and their pods away too.

Without an owner an uninstallation would leave workers behind that nobody waits for.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from vidette_core.adapters.kube.connection import KubeConnection
from vidette_core.ports.errors import NotFound, Unavailable


class OwningDeployment:
    """The Deployment of this name, asked for once: a process of its own pods does not outlive it."""

    def __init__(self, connection: KubeConnection, namespace: str, name: str) -> None:
        self._connection = connection
        self._name = name
        self._path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{quote(name, safe='')}"
        self._uid: str | None = None

    async def reference(self) -> dict[str, Any]:
        """An entry of `metadata.ownerReferences`. Raises `Unavailable`, also where there is no such Deployment."""
        if self._uid is None:
            try:
                found = await self._connection.get(self._path, {})
            except NotFound as error:
                raise Unavailable(
                    f"there is no Deployment {self._name} to own the Jobs: set VIDETTE_KUBERNETES_OWNER to the controller's own"
                ) from error
            self._uid = str(found["metadata"]["uid"])
        return {"apiVersion": "apps/v1", "kind": "Deployment", "name": self._name, "uid": self._uid}
