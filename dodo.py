"""Builds what models.yaml asks for: `doit list` shows the tasks. Tasks of your own may follow."""

from modelbuild.tasks import DOIT_CONFIG, task_build, task_report, task_source  # noqa: F401
