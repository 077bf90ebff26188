"""The configuration of amazon-cloudwatch-agent: which logs of this host go to which group. Pure."""

from __future__ import annotations

import json
from typing import Any

from .settings import Settings

JOURNAL = "/var/log/ghosthands/journal.log"  # written by journal_file.py
FLUSH_SECONDS = 5  # default of force_flush_interval; a terminating instance has little more time


def log_shipper_configuration(settings: Settings) -> str | None:
    """The configuration's text, JSON, or None without a log group.

    The format: CloudWatch User Guide, "Manually create or edit the CloudWatch agent configuration file". A stream per
    file: `<instance id>` for the boot's log, `<instance id>-journal`, and one for each container (publish_multi_logs
    adds the file's name, which is the container's id).
    """
    if settings.log_group is None:
        return None
    common = {"log_group_name": settings.log_group, "log_stream_name": "{instance_id}"}
    journal = common | {
        "log_stream_name": "{instance_id}-journal",
        "timestamp_format": "%Y-%m-%dT%H:%M:%S",
        "timezone": "UTC",
    }
    logs: dict[str, Any] = {
        "force_flush_interval": FLUSH_SECONDS,
        "logs_collected": {
            "files": {
                "collect_list": [
                    {"file_path": "/var/log/cloud-init-output.log"} | common,
                    {"file_path": JOURNAL} | journal,
                    {"file_path": "/var/lib/docker/containers/*/*-json.log", "publish_multi_logs": True} | common,
                ]
            }
        },
    }
    if settings.endpoint_url:
        logs["endpoint_override"] = settings.endpoint_url
    return json.dumps({"agent": {"region": settings.region}, "logs": logs}, indent=2, sort_keys=True) + "\n"
