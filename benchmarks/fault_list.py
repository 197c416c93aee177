"""The faults that hornlib must stand: what happens, what must follow, and the tests that show it."""

from typing import NamedTuple

__all__ = ["FAULTS", "Fault"]


class Fault(NamedTuple):
    """A row of the table.

    Attributes:
        number: D for a defect, W for a weakness, F for a fault that never did harm, S for storms and scale.
        fault: what happens.
        expected: what must follow.
        tests: the tests that show it, as pytest names them; a test with parameters stands for all of them.
        reason: why there is no test; empty where there are tests.
    """

    number: str
    fault: str
    expected: str
    tests: tuple[str, ...] = ()
    reason: str = ""


def _of(file: str, *names: str) -> tuple[str, ...]:
    return tuple(f"tests/{file}.py::test_{name}" for name in names)


DEFECTS = (
    Fault(
        "D1",
        "`statistics:`, a label or a sweep is edited after a finished sweep",
        "what reads it is made anew, and no run",
        _of(
            "workflow/test_what_is_made_anew",
            "a_change_makes_anew_what_reads_it_and_no_run",
            "a_new_label_and_a_second_sweep_reach_the_report_and_going_back_is_noticed",
        )
        + _of("grid/test_digests", "a_change_makes_exactly_those_stages_stale_that_read_it"),
    ),
    Fault(
        "D2",
        "a configuration of somebody else has keys of a template engine",
        "it is refused with its line, and nothing of it runs",
        _of(
            "workflow/test_configuration",
            "no_command_runs_code_of_a_configuration_and_each_refuses_it_with_its_line",
            "snakemake_runs_no_code_of_a_configuration_that_the_variable_names",
            "snakemakes_own_option_still_works_and_warns",
        ),
    ),
    Fault(
        "D3",
        "the controller dies during sbatch, or SLURM's programs fail in an unknown way",
        "the head waits, looks for the array and tries again; only known refusals end the sweep",
        _of(
            "cluster/test_slurm",
            "a_message_that_may_pass_or_is_unknown_is_no_refusal",
            "a_controller_that_says_no_has_refused",
        )
        + _of(
            "cluster/dispatcher/test_submitting",
            "a_submission_that_fails_is_waited_for_and_nothing_is_submitted_twice",
            "a_submission_without_an_answer_is_found_by_its_comment",
        )
        + _of("cluster/test_slurm_cluster", "each_refusal_of_sbatch_is_of_its_kind_and_keeps_its_words"),
    ),
    Fault(
        "D4",
        "one bit of a netCDF file is flipped, so that HDF5 would never end",
        "the file is refused before HDF5 sees it, with its name and what to do",
        _of(
            "results/test_seal",
            "a_changed_bit_is_refused_before_hdf5_sees_a_byte",
            "every_writer_seals_and_plain_xarray_and_netcdf4_read_the_files",
        )
        + _of("benchmarks/test_fuzz", "a_damaged_file_is_refused_with_its_name_and_what_to_do"),
    ),
    Fault(
        "D5",
        "the snapshot of the code, or the node's program, is cut, changed or missing while jobs wait",
        "jobs refuse it, the working tree never replaces it, and the next call makes it anew",
        _of(
            "cluster/test_task",
            "a_task_with_a_damaged_snapshot_runs_nothing_and_records_it_for_each_job",
        )
        + _of(
            "cluster/test_snapshots",
            "a_damaged_snapshot_is_made_again",
            "a_damaged_program_is_refused_before_anything_of_it_runs",
            "a_stored_file_is_on_the_disk_before_it_has_its_name",
        )
        + _of(
            "cluster/end_to_end/test_changed_code",
            "damaged_code_is_refused_once_and_made_again_by_the_next_call",
        ),
    ),
    Fault(
        "D6",
        "a job fails for good for want of memory, or is killed",
        "`hornlib status --failed` lists it with cause, host and signal",
        _of(
            "status/test_survey",
            "a_job_that_the_head_reported_as_failed_is_among_the_failed_with_the_heads_words",
            "a_job_that_was_killed_names_the_signal_and_the_host",
            "a_record_without_a_host_says_its_node",
        )
        + _of("cluster/end_to_end/test_failures", "a_job_that_never_has_enough_memory_fails_with_its_cause"),
    ),
    Fault(
        "D7",
        "a record of the executor is torn, has a flipped bit, or has values of the wrong kind",
        "it is named; its array is adopted, or cancelled before its jobs are submitted again",
        _of(
            "cluster/dispatcher/test_damaged",
            "a_damaged_record_is_named_and_its_jobs_run_once_at_a_time",
            "where_the_jobs_are_unknown_their_array_is_cancelled_waited_for_and_submitted_again",
            "an_array_without_any_record_is_cancelled_before_its_jobs_are_submitted_again",
        )
        + _of(
            "cluster/test_records",
            "no_record_with_a_flipped_bit_is_believed",
            "a_value_of_the_wrong_kind_is_refused_by_its_name_with_digest_and_without",
        ),
    ),
    Fault(
        "D8",
        "a value of the configuration has another shape than it should, such as `tune: 3`",
        "a message with file, line and key",
        _of(
            "grid/test_wrong_shapes",
            "a_value_of_any_shape_is_taken_or_refused_in_the_words_of_the_configuration",
        )
        + _of(
            "benchmarks/test_fuzz_configurations",
            "wrong_configurations_are_refused_with_the_name_of_the_file_or_accepted",
        ),
    ),
    Fault(
        "D9",
        "a job that has its node for itself, such as the calibration, is started once for each CPU",
        "it is started once, and fits into the memory of the profile",
        _of("cluster/end_to_end/test_arrays", "a_job_that_has_its_node_for_itself_is_started_once")
        + _of(
            "cluster/test_slurm_cluster", "the_script_starts_our_program_on_the_batchs_folder_and_processors"
        ),
    ),
    Fault(
        "D10",
        "1,000 pixels are changed, images or labels are shuffled, files of an old layout are left over",
        "files are refused with both checksums; every run names the digest of its examples, and digests are compared",
        _of(
            "data/test_reading",
            "changed_files_are_refused_with_both_checksums_and_what_to_do",
            "changed_pickles_are_refused_before_they_are_unpickled",
            "files_of_torchvisions_old_layout_change_nothing",
            "files_of_torchvisions_old_layout_do_not_stand_for_the_raw_ones",
        )
        + _of(
            "data/test_data_digest",
            "the_examples_of_a_dataset_are_the_same_as_ever",
            "other_inputs_and_other_targets_have_another_digest",
            "other_instructions_of_the_processor_and_more_threads_give_the_same_digests",
        )
        + _of("results/test_gather", "runs_on_different_examples_of_one_dataset_are_refused_and_named")
        + _of("tuning/test_choice", "arms_that_were_tuned_on_different_examples_are_refused")
        + _of("training/test_train", "a_checkpoint_of_other_examples_is_set_aside_and_training_starts_again"),
    ),
    Fault(
        "D11",
        "results.nc, a tuning file or a calibration is damaged",
        "a message with its name and what makes it anew; no full disk is blamed",
        _of(
            "cli/test_damaged_files",
            "every_reader_of_damaged_results_names_them_and_blames_no_disk",
            "a_damaged_tuning_file_is_named_by_the_commands_that_choose_from_it",
            "calibrate_names_a_damaged_calibration",
        )
        + _of("results/test_atomic", "an_error_of_other_code_in_the_block_is_no_full_disk"),
    ),
    Fault(
        "D12",
        "a label has signs that mean something to matplotlib or to HTML",
        "it is shown as it is written",
        _of(
            "report/test_hostile_labels",
            "a_figure_shows_a_label_as_it_is_written",
            "the_page_shows_a_label_as_it_is_written",
        ),
    ),
    Fault(
        "D13",
        "a path has `<`, NUL or a newline",
        "it is refused with its key before anything starts",
        _of("parameters/test_paths", "a_path_that_cannot_be_meant_is_refused_with_its_place"),
    ),
    Fault(
        "D14",
        "the test bed's controller is started while accounting is away, or while the old one is ending",
        "it serves afterwards, or the command fails",
        _of(
            "cluster/test_testbed",
            "a_controller_starts_without_the_accounting_once_it_has_a_state",
            "a_controller_that_is_ending_is_waited_for_and_then_started",
            "a_daemon_that_ends_at_once_is_an_error_with_its_last_words",
            "an_apt_get_at_work_is_waited_for_whichever_lock_it_holds",
        ),
    ),
)

WEAKNESSES = (
    Fault(
        "W1",
        "all nodes of a partition are down or drained",
        "it is said once, with nodes and what to do",
        _of(
            "cluster/dispatcher/test_pending",
            "a_partition_whose_nodes_are_all_away_is_named_once_with_nodes_and_remedy",
            "jobs_of_a_partition_that_comes_back_end_well",
        ),
    ),
    Fault(
        "W2",
        "a local sweep is started while SLURM has jobs of its results folder",
        "it is refused with the array and both ways out",
        _of(
            "status/test_beside_cluster",
            "jobs_in_the_queue_are_refused_with_their_array_and_both_ways_out",
            "an_array_whose_record_is_gone_or_damaged_is_refused_too",
            "a_slurm_that_does_not_answer_refuses_while_jobs_may_run_and_the_message_names_the_override",
        ),
    ),
    Fault(
        "W3",
        "the configuration is edited while its sweep runs",
        "the sweep ends with the configuration that it was started with",
        _of(
            "workflow/test_configuration",
            "an_edit_during_a_sweep_holds_from_the_next_call_on",
            "a_typo_during_a_sweep_does_not_reach_its_end_and_the_next_call_refuses_it",
        ),
    ),
    Fault(
        "W4",
        "a failed job has printed 50 MB",
        "the terminal gets the end of its log, once",
        _of("workflow/test_logs", "of_a_training_log_of_50_megabytes_the_terminal_gets_the_end_once")
        + _of("cluster/test_waiting", "of_a_huge_log_only_the_end_is_read"),
    ),
    Fault(
        "W5",
        "the executor's folder belongs to somebody else, or others may write to it",
        "it is refused with what to do",
        _of(
            "cluster/test_folder",
            "a_folder_that_others_may_write_to_is_refused_with_the_remedy",
            "a_folder_of_another_user_is_refused_with_the_remedy",
        ),
    ),
)

STOOD = (
    Fault(
        "F1",
        "kill -9 of the head, at any moment",
        "no job is lost or runs twice",
        _of(
            "cluster/end_to_end/test_heads",
            "a_head_killed_around_sbatch_neither_loses_nor_doubles",
            "a_head_killed_at_its_own_records_neither_loses_nor_doubles",
        )
        + _of(
            "cluster/dispatcher/test_deaths",
            "a_head_that_is_killed_at_any_step_neither_loses_nor_doubles_a_job",
        ),
    ),
    Fault(
        "F2",
        "`scontrol requeue` of running tasks",
        "each goes on from its checkpoint, to the same bits",
        _of("cluster/end_to_end/test_requeues", "scontrol_requeue_ends_with_the_same_bits"),
    ),
    Fault(
        "F3",
        "`scancel` of an array or of a task",
        "it is reported as cancelled, and the next call completes it",
        _of("cluster/end_to_end/test_failures", "scancel_of_one_task_is_final_for_this_call"),
    ),
    Fault(
        "F4",
        "kill -9 of the trainer",
        "the signal is named, the log is kept, and the next call goes on",
        _of(
            "workflow/test_interruptions",
            "a_trainer_that_is_killed_has_a_cause_and_its_log_is_kept_when_it_goes_on",
            "a_training_that_outlives_a_killed_snakemake_is_shown_and_not_doubled",
        )
        + _of("cluster/end_to_end/test_failures", "an_exit_code_or_a_signal_is_reported_and_never_retried"),
    ),
    Fault(
        "F5",
        "a node, or SLURM's daemon on it, dies with its jobs",
        "they run elsewhere",
        _of("cluster/end_to_end/test_requeues", "jobs_of_a_node_that_dies_run_elsewhere"),
    ),
    Fault(
        "F6",
        "the controller is restarted, or killed after sbatch",
        "nothing is lost, and the head says that it waits",
        _of(
            "cluster/end_to_end/test_requeues",
            "controller_and_accounting_may_restart_in_the_middle",
            "a_controller_that_crashes_and_forgets_the_last_seconds_loses_no_job",
            "a_controller_that_is_away_at_submission_is_waited_for",
        ),
    ),
    Fault(
        "F7",
        "the disk of the results, or of the records, is full",
        "jobs name file and remedy, the last checkpoint survives, and the next call completes",
        _of(
            "cluster/end_to_end/test_bad_input",
            "a_full_disk_for_the_records_is_told_and_nothing_submitted",
            "a_disk_that_fills_up_in_the_middle_costs_nothing",
            "a_full_disk_for_results_fails_the_jobs_that_meet_it_alone",
        )
        + _of("training/test_train", "a_full_disk_stops_the_run_cleanly_and_the_last_checkpoint_survives")
        + _of("results/test_atomic", "a_full_disk_is_named_and_leaves_the_old_file"),
    ),
    Fault(
        "F8",
        "the results folder cannot be written",
        "it is refused before anything is trained; a run file that cannot be written leaves the checkpoint",
        _of(
            "training/test_train",
            "an_unwritable_results_folder_is_refused_before_anything_is_trained",
            "a_run_file_that_cannot_be_written_leaves_the_checkpoint",
        ),
    ),
    Fault(
        "F9",
        "a checkpoint is damaged",
        "it is set aside, and training starts again to the same bits",
        _of("training/test_train", "a_damaged_checkpoint_is_reported_set_aside_and_training_starts_again")
        + _of("training/test_checkpoint", "any_changed_or_missing_byte_is_noticed"),
    ),
    Fault(
        "F10",
        "a run file is damaged, cut, empty, renamed or another's",
        "gather refuses it with name and remedy; status and plan name it",
        _of("results/test_gather", "all_bad_files_are_listed_at_once")
        + _of("status/test_survey", "a_damaged_run_file_is_named_with_its_remedy_and_is_not_done")
        + _of("workflow/test_bad_input", "a_damaged_run_file_is_named_by_gather"),
    ),
    Fault(
        "F11",
        "two heads start at the same time, or a second workflow uses the folder",
        "one of them is refused with process and host",
        _of("cluster/end_to_end/test_heads", "a_second_head_is_refused_while_the_first_lives")
        + _of("cluster/test_lease", "of_two_heads_that_take_over_at_the_same_time_one_gives_way")
        + _of("workflow/test_sweep", "a_living_rival_in_the_same_results_folder_is_refused_by_its_name"),
    ),
    Fault(
        "F12",
        "one node, or every node, does not see the folder",
        "jobs run elsewhere; where no node sees it, the sweep stops with what to do",
        _of(
            "cluster/dispatcher/test_ends",
            "one_node_that_does_not_see_the_folder_is_left_aside_while_others_do",
            "a_folder_that_the_nodes_do_not_see_stops_the_sweep_and_cancels_the_rest",
        )
        + _of(
            "cluster/end_to_end/test_bad_input",
            "a_folder_that_the_nodes_do_not_see_ends_the_sweep_with_the_first_job",
        ),
    ),
    Fault(
        "F13",
        "names, labels and paths have quotes, `$(...)`, backticks or HTML",
        "nothing runs, and all is shown as it is written",
        _of("workflow/test_sweep", "config_values_never_reach_a_shell")
        + _of("cluster/end_to_end/test_arrays", "nothing_of_the_workflow_is_run_by_a_shell_that_should_not")
        + _of("report/test_page_in_browser", "labels_of_the_configuration_are_text_and_run_nothing")
        + _of("training/test_checkpoint", "a_checkpoint_with_code_in_it_is_not_run"),
    ),
    Fault(
        "F14",
        "clocks are wrong",
        "it is said once for each host, and nothing runs again",
        _of("cluster/end_to_end/test_bad_input", "a_clock_that_is_wrong_is_told_of_once_a_host"),
    ),
    Fault(
        "F15",
        "the code is edited while jobs wait",
        "jobs run the code that was submitted",
        _of("cluster/test_snapshots", "a_job_imports_the_snapshot_and_not_what_was_edited_since"),
    ),
)

STORMS = (
    Fault(
        "S1",
        "a storm of kills over real training",
        "every result is there once, with the same bits",
        _of("cluster/end_to_end/test_storm", "after_a_storm_every_result_is_there_once"),
    ),
    Fault(
        "S2",
        "a storm of kills, damaged records, lost snapshots, dying controllers, edits and full disks",
        "the results are those of an undisturbed sweep",
        _of(
            "cluster/end_to_end/test_storm_of_damage",
            "after_damage_the_results_are_those_of_an_undisturbed_sweep",
        ),
    ),
    Fault(
        "S3",
        "1,000 wrong configurations",
        "no traceback, none above 5 s or 1 GB, no file touched, no command run",
        _of(
            "benchmarks/test_fuzz_configurations",
            "wrong_configurations_are_refused_with_the_name_of_the_file_or_accepted",
            "whatever_a_configuration_does_has_its_outcome",
        ),
    ),
    Fault(
        "S4",
        "10,000 cells",
        "Snakemake parses the workflow in half of the time",
        reason="a time is no test; `benchmarks/planning.md` has it",
    ),
)

FAULTS = (*DEFECTS, *WEAKNESSES, *STOOD, *STORMS)
