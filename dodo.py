from modelbuild.tasks import DOIT_CONFIG, task_build  # noqa: F401
