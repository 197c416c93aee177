"""Settings of the machine reach the command that trains."""


def test_the_format_of_the_curve_log_is_passed_to_the_training_and_retrains_nothing(project, copied):
    project.configure(project.configuration + "log_format: csv\n")
    planned = project.snakemake("--dry-run", "--printshellcmds")
    assert planned.returncode == 0, planned.stderr
    assert "--log-format csv" in planned.stdout + planned.stderr
    copied.configure(copied.configuration + "log_format: csv\n")
    assert copied.planned() == {}
