"""Snakemake executor that sends jobs to SLURM as job arrays through submitit, and loses none of them."""

# `from __future__ import annotations` in this package would break every snakemake command: the plugin interface reads
# the settings' types. Everything heavy is imported when it is needed, since Snakemake imports all plugins at start-up.
from snakemake_interface_executor_plugins.settings import CommonSettings

from snakemake_executor_plugin_submitit.executor import Executor
from snakemake_executor_plugin_submitit.settings import ExecutorSettings

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    pass_default_storage_provider_args=True,
    pass_default_resources_args=True,
    pass_envvar_declarations_to_cmd=True,
    auto_deploy_default_storage_provider=False,
    init_seconds_before_status_checks=0,
)
