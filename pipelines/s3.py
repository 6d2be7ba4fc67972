"""The transport for a venue's archive in S3, with the same errors as a request by HTTP.

Requester-pays buckets need AWS credentials in the environment, which s3fs reads.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.errors import AGAIN, Absent, Blocked, Transient
from pipelines.source import Request, Source


class S3:
    """Reads objects. `endpoint` is the emulator's URL, or None for AWS."""

    def __init__(self, source: Source, endpoint: str | None) -> None:
        import s3fs  # half a second of imports, for archives only
        from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]

        self.source, self._unreachable = source, BotoCoreError
        # pragma: allowlist nextline secret
        options = {"key": "emulator", "secret": "emulator", "endpoint_url": endpoint} if endpoint else {}
        self._fs = s3fs.S3FileSystem(asynchronous=True, requester_pays=True, skip_instance_cache=True, **options)

    async def close(self) -> None:
        await (await self._fs.set_session()).close()

    async def get(self, url: str, request: Request) -> tuple[int, Mapping[str, str], bytes, str]:
        """Status, headers, bytes and URL of an object. Raises `Absent`, `Blocked`, `Transient`."""
        name = self.source.name
        try:
            return 200, {}, await self._fs._cat_file(url), url
        except FileNotFoundError:
            raise Absent(name, request.path_label, "no such file", "The archive may put it up later; run again then") from None
        except PermissionError as problem:
            remedy = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of an account that may pay for reading (requester pays)"
            raise Blocked(name, request.path_label, f"access denied ({problem})", remedy) from None
        except (OSError, TimeoutError, self._unreachable) as problem:
            raise Transient(name, request.path_label, f"the archive can't be read ({problem})", AGAIN) from problem
