"""Buckets: JetStream's key-value stores as Sylvite makes them: on disk, of each entry the last that was written, and no message
may remove others."""

from __future__ import annotations

from nats.js import api

from sylvite.cluster.settings import ClusterSettings
from sylvite.cluster.stream import AS_WE_MAKE_IT
from sylvite.errors import ClusterUnfit

_FIXED = ("subjects", "retention", "storage", "max_msgs_per_subject", "allow_rollup_hdrs", "allow_direct")


def bucket_config(
    settings: ClusterSettings, bucket: str, description: str, *, bytes_max: int, value_bytes_max: int
) -> api.StreamConfig:
    """Return the settings that a bucket is made with."""
    return api.StreamConfig(
        name=f"KV_{bucket}",
        description=description,
        subjects=[f"$KV.{bucket}.>"],
        retention=api.RetentionPolicy.LIMITS,
        discard=api.DiscardPolicy.NEW,
        storage=api.StorageType.FILE,
        num_replicas=settings.replicas,
        max_msgs_per_subject=1,
        max_bytes=bytes_max,
        max_msg_size=value_bytes_max,
        max_msgs=-1,
        deny_delete=True,
        deny_purge=True,
        allow_rollup_hdrs=False,  # One `Nats-Rollup: all` would take away what all the others have written.
    )


def check_bucket(settings: ClusterSettings, bucket: str, config: api.StreamConfig) -> None:
    """Raises ClusterUnfit: what is there under this name is none of ours."""
    wanted = bucket_config(settings, bucket, "", bytes_max=0, value_bytes_max=0)
    wrong = [
        f"{name} is {getattr(config, name)!r}, not {getattr(wanted, name)!r}"
        for name in _FIXED
        if (getattr(config, name) or None) != (getattr(wanted, name) or None)
    ]
    if (config.num_replicas or 1) < settings.replicas:
        wrong.append(f"it has {config.num_replicas} replicas, not {settings.replicas}")
    if wrong:
        raise ClusterUnfit(f"the bucket {bucket}", "; ".join(wrong), AS_WE_MAKE_IT)


def may_read_and_write(bucket: str) -> tuple[str, ...]:
    """Return the subjects that a user needs to publish to, for all entries of a bucket, one by one."""
    return (
        f"$KV.{bucket}.>",
        f"$JS.API.STREAM.INFO.KV_{bucket}",
        f"$JS.API.STREAM.CREATE.KV_{bucket}",
        f"$JS.API.STREAM.MSG.GET.KV_{bucket}",
    )
