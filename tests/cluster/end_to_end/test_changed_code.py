"""Code that is damaged while jobs wait is refused on the node, and the next call goes on."""

import re
import shlex
import sys

import pytest

pytestmark = pytest.mark.slow

SNAKEFILE = """
rule all:
    localrule: True
    input: expand("out/{i}", i=range(2))

rule work:
    output: "out/{i}"
    resources: mem_mb=50, runtime=10
    shell: "PYTHON -c 'import payload; print(payload.VERSION)' > {output}"
"""


class Project:
    """A workflow whose jobs import a package, and wait on their node for the file `go`."""

    def __init__(self, workflow) -> None:
        self.workflow, self.folder = workflow, workflow.folder
        self.folder.mkdir(exist_ok=True)
        workflow.write(SNAKEFILE.replace("PYTHON", sys.executable))
        go = shlex.quote(str(self.folder / "go"))
        self.words = ["--submitit-snapshot", "payload"]
        self.words += ["--submitit-setup", f"until [ -e {go} ]; do sleep 0.2; done"]
        self.paths = {"PYTHONPATH": str(self.folder)}

    def edit(self, version: str) -> None:
        (self.folder / "payload").mkdir(exist_ok=True)
        (self.folder / "payload/__init__.py").write_text(f"VERSION = {version!r}\n")


@pytest.fixture
def projects(workflow):
    """Two projects on one SLURM: the snapshot of the first is cut, and the node's program of the second."""
    other = type(workflow)(workflow.folder / "other", workflow.slurm)
    yield {"snapshots/payload-*.zip": Project(workflow), "task-*.py": Project(other)}
    for head in other.heads:
        head.kill()
        head.wait()


def test_damaged_code_is_refused_once_and_made_again_by_the_next_call(projects, until):
    for project in projects.values():
        project.edit("submitted")
        project.head = project.workflow.start(*project.words, **project.paths)
    for pattern, project in projects.items():
        until(lambda project=project: "as array" in project.workflow.said(), what="the submission")
        project.edit("edited")
        (project.damaged,) = (project.folder / ".snakemake/submitit").glob(pattern)
        project.damaged.write_bytes(project.damaged.read_bytes()[:-100])
        (project.folder / "go").touch()
    for project in projects.values():
        assert project.head.wait(240) != 0
        said = project.workflow.said()
        refusal = rf"\(job \d+_\d\): nothing of it ran, because {project.damaged} is not the code"
        assert len(re.findall(refusal, said)) == 2, said
        assert said.count("as array") == 1 and project.workflow.outputs() == {}
        project.edit("mended")
        done = project.workflow.run(*project.words, **project.paths)
        assert done.returncode == 0, done.stdout
        assert project.workflow.outputs() == {"0": "mended\n", "1": "mended\n"}
