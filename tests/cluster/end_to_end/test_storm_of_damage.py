"""A storm of kills and damage over real training: the results are bit for bit those of an undisturbed sweep."""

from collections import Counter

import pytest

from tests.cluster.conftest import Slurm
from tests.cluster.end_to_end.damages import DAMAGES, mount_disks, unmount_disks
from tests.cluster.end_to_end.kills import KILLS
from tests.cluster.end_to_end.storm import Storm, number_of_storms, seed_of, telling
from tests.cluster.end_to_end.sweep import TARGET, Sweep, assert_same_numbers


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The same sweep at home."""
    home = Sweep(tmp_path_factory.mktemp("home"), Slurm("", None))
    done = home.run("--cores", "2", timeout=600)
    assert done.returncode == 0, done.stdout
    return home


@pytest.fixture
def sweep(tmp_path, new_bed):
    made = Sweep(tmp_path, new_bed())
    yield made
    made.end()
    unmount_disks(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", range(number_of_storms()))
def test_after_damage_the_results_are_those_of_an_undisturbed_sweep(sweep, undisturbed, capsys, number):
    blows = KILLS | DAMAGES
    if not mount_disks(sweep.folder):
        del blows["fill_disk"]
    storm = Storm(sweep, seed_of(number), blows)
    with telling(storm, capsys):
        storm.strike("kill_controller_in_sbatch")
        storm.rage(pause=6)
        storm.calm(patience=400)
        assert sorted(sweep.runs()) == sorted(undisturbed.runs())
        for name, file in undisturbed.runs().items():
            assert_same_numbers(sweep.runs()[name], file)
        assert_same_numbers(sweep.folder / TARGET, undisturbed.folder / TARGET)
        storm.leaves_nothing_queued()
        assert sweep.noted("doubled") == []
        ends = Counter(line[0] for line in sweep.noted("ends"))
        assert [name for name, count in ends.items() if count > 1] == []
