"""Opens fsspec's file systems, whose libraries are optional and are imported here alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.errors import RemoteError
from heatmaps_ome.storage.remote.urls import public

if TYPE_CHECKING:
    import paramiko

_EXTRA: Final = "pip install 'heatmaps-ome[cloud]'"
_PARTIAL_CONTENT: Final = 206


def file_system(scheme: str, url: str) -> Any:
    """Return a file system whose own retries and lists are off, as those of `Client` count.

    Raises
    ------
    RemoteError
        If its library is not installed, or none knows the scheme.
    """
    try:
        import fsspec
    except ImportError as error:
        raise RemoteError(f"{public(url)} needs more libraries: {_EXTRA}") from error
    try:
        kind = fsspec.get_filesystem_class(scheme)
        system = kind(**kind._get_kwargs_from_urls(url), **_settings(scheme))
    except ImportError as error:
        raise RemoteError(f"{scheme}:// needs more libraries: {_EXTRA}") from error
    except ValueError as error:
        raise RemoteError(
            f"{public(url)}: no library knows {scheme}://; give s3://, gs://, https:// or sftp://"
        ) from error
    if scheme in ("s3", "s3a"):
        system.retries = 1
    return system


def gives_parts(system: Any, url: str) -> bool:
    """Return whether a web server gives parts of a file; some send all of it instead."""
    from fsspec.asyn import sync

    async def answer() -> bool:
        session = await system.set_session()
        headers = {**system.kwargs.get("headers", {}), "Range": "bytes=0-0"}
        options = {**system.kwargs, "headers": headers}
        async with session.get(system.encode_url(url), **options) as response:
            return response.status == _PARTIAL_CONTENT

    return bool(sync(system.loop, answer))


def _settings(scheme: str) -> dict[str, Any]:
    """Return the settings of a scheme's file system."""
    if scheme in ("sftp", "ssh"):
        # It hands all it does not know on to paramiko.
        return {"skip_instance_cache": True, "host_key_policy": _known_hosts(), "timeout": 30}
    settings: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    if scheme in ("s3", "s3a"):
        settings["config_kwargs"] = {
            "retries": {"total_max_attempts": 1}, "max_pool_connections": 32,
            "connect_timeout": 10, "read_timeout": 60,
        }  # fmt: skip
    return settings


def _known_hosts() -> paramiko.MissingHostKeyPolicy:
    """Return the rule that a host must be known to this user's ssh; fsspec takes any."""
    import paramiko

    class KnownHosts(paramiko.MissingHostKeyPolicy):
        def missing_host_key(
            self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
        ) -> None:
            del client
            file = Path("~/.ssh/known_hosts").expanduser()
            hosts = paramiko.HostKeys(str(file) if file.is_file() else None)
            if not hosts.check(hostname, key):
                raise RemoteError(
                    f"sftp://{hostname}: its key is not in {file}; connect to it once with ssh or "
                    "sftp, and compare the key"
                )

    return KnownHosts()
