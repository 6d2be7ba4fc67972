"""The transport for a venue's archive in S3, with the same errors as a request by HTTP.

A bucket whose reader pays needs credentials of its own (`pipelines.keys.s3_credentials`): those of landing, the usual `AWS_…`
variables, are never used for it, nor is landing's `AWS_ENDPOINT_URL`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from pipelines.errors import AGAIN, Absent, Blocked, Rejected, Transient
from pipelines.keys import EMULATED, Redactor, s3_credentials
from pipelines.source import Request, Source


class S3:
    """Reads objects of at most `most_bytes`, each in at most `seconds`. `endpoint` is the emulator's URL, or None for AWS."""

    def __init__(self, source: Source, endpoint: str | None, most_bytes: int, seconds: float, redact: Redactor) -> None:
        import s3fs  # half a second of imports, for archives only
        from botocore.exceptions import BotoCoreError

        self.source, self.most_bytes, self.seconds = source, most_bytes, seconds
        self._redact, self._unreachable = redact, BotoCoreError
        given = {"key": EMULATED, "secret": EMULATED, "endpoint_url": endpoint} if endpoint else s3_credentials(source)
        self._fs = s3fs.S3FileSystem(
            asynchronous=True,
            requester_pays=True,
            skip_instance_cache=True,
            config_kwargs={"ignore_configured_endpoint_urls": True},
            **given,
        )

    async def close(self) -> None:
        await (await self._fs.set_session()).close()

    async def get(self, url: str, request: Request) -> tuple[int, Mapping[str, str], bytes, str]:
        """Status, headers, bytes and URL of an object. Raises `Absent`, `Blocked`, `Rejected`, `Transient`."""
        name, label = self.source.name, request.path_label
        bucket, _, key = url.removeprefix("s3://").partition("/")
        try:
            async with asyncio.timeout(self.seconds):
                answer = await self._fs._call_s3("get_object", Bucket=bucket, Key=key, **self._fs.req_kw)
                async with answer["Body"] as stream:
                    if (length := answer["ContentLength"]) <= self.most_bytes:
                        return 200, {}, await stream.read(), url
        except FileNotFoundError:
            raise Absent(name, label, "no such file", "The archive may put it up later; run again then") from None
        except PermissionError as problem:
            remedy = "Set the archive's key (`perps venues` names it) to that of an account that may pay for reading"
            raise Blocked(name, label, f"access denied ({self._redact.text(str(problem))})", remedy) from None
        except TimeoutError:
            raise Transient(name, label, f"the file was not whole after {self.seconds:g} s", AGAIN) from None
        except (OSError, self._unreachable) as problem:
            raise Transient(name, label, f"the archive can't be read ({self._redact.text(str(problem))})", AGAIN) from None
        message = f"the file has {length / 1e6:.0f} MB, more than {self.most_bytes / 1e6:g}"
        raise Rejected(name, label, message, "Raise the setting body_max_mb if the archive's files have grown so long")
