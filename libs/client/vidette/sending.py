"""One upload on a connection of its own, blocking; `AsyncClient` has it done in a thread.

The thread is not for the file alone. On a connection that the server closes, an event loop that is writing drops what it has not
read yet, and the refusal with it; a blocking socket still hands it out.
"""

from __future__ import annotations

from contextlib import closing

import httpx

from vidette.flows import Service
from vidette.upload import Upload


def send(service: Service, upload: Upload) -> httpx.Response:
    """The answer, read to its end. Raises `httpx.RequestError` when there is none, and `BadFile`.

    The connection is a new one, since only such a one is announced to the upload's listener.
    """
    limits = service.connection(service.timeouts.accept)
    trace = {"trace": upload.listener.trace}
    with httpx.Client(**limits) as http, closing(iter(upload)) as body:
        return http.post("/video/submit", content=body, headers=upload.headers, extensions=trace)
