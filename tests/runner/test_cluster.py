"""Runs on a cluster of Dask's whose scheduler and workers are processes of this machine, killed on occasion."""

import contextlib
import gc
import os
import platform
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import lebench
from lebench.errors import LebenchError, MissingDependencyError
from lebench.runner import cluster_file, node
from lebench.runner.execution import execute
from lebench.runner.store import Store

pytest.importorskip("distributed")

TOY = Path(__file__).with_name("toy.py")
KILLER = """
import os, psutil
from dataclasses import dataclass
from typing import ClassVar
import helper
import lebench

@lebench.register_model("killer")
@dataclass(frozen=True)
class Killer:
    diary: str
    kills: bool = False
    capabilities: ClassVar = frozenset({"predict"})

    def fit(self, split, seed):
        with open(self.diary, "a") as diary:
            diary.write(__file__ + "\\n")
        if self.kills:
            worker, = (p for p in psutil.Process().parents() if "multiprocessing.spawn" in " ".join(p.cmdline()))
            worker.kill()
        return helper.Zeros()
"""
HELPER = """
import numpy as np

class Zeros:
    def predict(self, x):
        return np.zeros((len(x), 10))
"""


class Dask:
    """A scheduler and workers, each a process of its own; by default a worker is a node that dies with it."""

    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        self.folder, self.scheduler, self.workers = folder, None, []
        self.start()

    def start(self):
        """Start a scheduler; the last one's workers go when it does."""
        port = self.address.rpartition(":")[2]
        self.scheduler = self._process("scheduler", "--host", "127.0.0.1", "--port", port, "--dashboard-address", ":0")

    def add(self, *options):
        self.workers.append(
            self._process(
                "worker",
                *(self.address, "--nthreads", "1", "--no-dashboard", "--local-directory", self.folder),
                *(options or ["--no-nanny"]),
            )
        )

    def kill_a_worker(self):
        worker = self.workers.pop()
        worker.kill()
        worker.wait()

    def _process(self, kind, *arguments):
        environment = os.environ | {"XDG_CACHE_HOME": str(self.folder / "cache")}
        with (self.folder / f"{kind}.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=environment,
            )

    def close(self):
        # The scheduler last: without it the client in a worker keeps that from ending.
        for processes in (self.workers, [self.scheduler]):
            for process in processes:
                process.terminate()
            for process in processes:
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


@pytest.fixture(scope="module")
def dask(tmp_path_factory):
    with contextlib.closing(Dask(tmp_path_factory.mktemp("dask"))) as cluster:
        cluster.add()
        cluster.add()
        yield cluster


def client(workshop, address, *tasks, seeds, **parameters):
    """Start a run in a process of its own."""
    command = "from lebench.cli import main; main()"
    options = ["--plugin", TOY, "-m", workshop.spec(**parameters), *(part for task in tasks for part in ("-t", task))]
    return subprocess.Popen(
        [sys.executable, "-c", command, "run", *options, "--seeds", seeds, "-o", workshop.folder, "--cluster", address],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(workshop, records, process=None):
    deadline = time.monotonic() + 120
    while len(workshop.lines()) < records:
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process.stderr.read()
        time.sleep(0.02)


def content(records):
    """Return of records what must not depend on where they were made."""
    where = {"run", "cost", "checksum", "environment", "source"}
    return sorted(record.model_dump_json(exclude=where) for record in records)


def done_here(workshop, folder, *tasks, **parameters):
    """Return the records of the same run on this machine."""
    store = Store(folder)
    execute(workshop.plan(*tasks, **parameters), store, jobs=2)
    return content(store.load())


def test_a_worker_is_killed_and_the_records_are_those_of_a_local_run(workshop, tmp_path, dask):
    what = ("toy/accuracy", "toy/small", "toy/arrays")
    expected = done_here(workshop, tmp_path / "here", *what, seeds=range(4), seconds=0.3)
    workshop.diary.unlink()
    process = client(workshop, dask.address, *what, seeds="4", seconds=0.3)
    wait_for(workshop, 2, process)
    dask.kill_a_worker()
    _, error = process.communicate(timeout=120)
    assert (process.returncode, error) == (0, "")
    assert content(workshop.store.load()) == expected
    # None was computed twice but what died with the worker.
    assert 8 <= len(workshop.fits()) <= 10
    assert not (workshop.folder / "spool").exists()
    dask.add()


def test_nodes_that_do_not_see_the_results_folder_have_spools_of_their_own(workshop, dask, monkeypatch):
    workshop.store.prepare()
    plan = workshop.plan("toy/accuracy", seeds=range(2))
    forget = node.Run.forget
    monkeypatch.setattr(Path, "touch", lambda self: None)
    monkeypatch.setattr(node.Run, "forget", node.Run.spooled)
    assert execute(plan, workshop.store, cluster=dask.address).done == 2
    (spool,) = dask.folder.glob("cache/lebench/results/*/spool")
    assert {path.stem for path in spool.iterdir()} == {cell.cell.key for cell in plan.cells}

    # A client that comes back with an empty store, where what was sent to it was lost, has nothing computed again.
    monkeypatch.setattr(node.Run, "forget", forget)
    before = workshop.fits()
    for path in workshop.folder.glob("records/*"):
        path.unlink()
    again = execute(plan, Store(workshop.folder), cluster=dask.address)
    assert (again.done, workshop.fits()) == (2, before)
    assert list(spool.iterdir()) == []


@pytest.fixture
def killer(tmp_path, plugins_forgotten):
    (tmp_path / "killer.py").write_text(KILLER)
    (tmp_path / "helper.py").write_text(HELPER)
    return tmp_path / "killer.py"


def test_a_plugin_is_sent_with_the_files_beside_it(killer, tmp_path, dask):
    found = lebench.run(
        f"killer[diary={tmp_path}/diary]",
        "digits/accuracy",
        "0,",
        plugins=[killer],
        results=tmp_path / "results",
        cluster=dask.address,
    )
    assert set(found.status) == {"ok"}
    (file,) = set((tmp_path / "diary").read_text().split())
    assert file.startswith(str(dask.folder))


@pytest.mark.parametrize("there", ["no numpy", "another"])
def test_versions_are_compared_before_anything_is_computed(workshop, dask, monkeypatch, there):
    import lebench.runner.cluster  # noqa: F401

    own = node.versions(frozenset())
    other = own | ({"of-the-client": "1.0"} if there == "no numpy" else {"numpy": "0.1"})
    monkeypatch.setattr(node, "versions", lambda packages: other)
    with pytest.raises(LebenchError) as caught:
        execute(workshop.plan(), workshop.store, cluster=dask.address)
    said = "has no of-the-client" if there == "no numpy" else f"has numpy {own['numpy']}"
    assert said in str(caught.value)
    assert "install the same on both" in str(caught.value)
    assert workshop.fits() == []


def test_a_folder_that_a_node_cannot_write_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(node.files, "cache_folder", lambda: tmp_path / "file" / "data")
    run = node.Run(
        name="",
        plan=None,
        code=(),
        versions={},
        packages=frozenset(),
        command="",
        time_limit=1.0,
        memory_limit=None,
        keeping=None,
        device="cpu",
        results=tmp_path / "results",
        mark="mark",
        home="home",
        data="",
    )
    assert run.problem() == f"cannot write to '{tmp_path}/file/results/home/spool': Not a directory"


def test_data_come_from_the_path_of_the_client_or_are_fetched_once(tmp_path, monkeypatch):
    monkeypatch.setenv("LEBENCH_DATA", "/nowhere")
    fetched = []
    source = SimpleNamespace(
        name="mnist",
        states=lambda: [SimpleNamespace(problem="" if fetched else "it is not here")],
        fetch=lambda: fetched.append(os.environ["LEBENCH_DATA"]),
    )
    monkeypatch.setitem(node.SOURCES, "mnist", source)
    locks = []
    lock = SimpleNamespace(Lock=lambda name, client: locks.append(name) or contextlib.nullcontext())
    monkeypatch.setattr(node, "dask", lambda module: lock)
    task = object.__new__(node._Task)
    task._run, task._job = SimpleNamespace(data=str(tmp_path)), SimpleNamespace(dataset="mnist")
    task._queue = SimpleNamespace(client=None)
    task._see_to_data()
    task._see_to_data()
    assert fetched == [str(tmp_path)]
    assert locks == [f"lebench {platform.node()} mnist"]


@pytest.mark.parametrize("where", ["tcp://127.0.0.1:9", "127.0.0.1:9", "carrier-pigeon://roof:1"])
def test_no_scheduler(workshop, where, monkeypatch):
    monkeypatch.setattr("lebench.runner.cluster.ANSWER_S", 0.5)
    with pytest.raises(LebenchError, match=f"no scheduler answers at {where}: .*; 'dask scheduler' starts one"):
        execute(workshop.plan(), workshop.store, cluster=where)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "kind: slurm\nqueu: long",
            "queu: Extra inputs are not permitted; its keys are kind, minimum, maximum, options",
        ),
        ("kind: slurm", "say how many workers there may be at a time: maximum: 8"),
        ("kind: condor", "kind: Input should be 'local', 'ssh'"),
        (
            "kind: slurm\nmaximum: 8\noptions: {queu: long}",
            "options: SLURMCluster of Dask has no 'queu'; it has account, ",
        ),
        (
            "kind: local\noptions: {memory_limi: 1GB}",
            "LocalCluster of Dask has no 'memory_limi'; it has .*memory_limit",
        ),
        (
            "kind: slurm\nmaximum: 8\noptions: {queue: long}",
            "cannot start a cluster of kind slurm: You must specify how much",
        ),
        ("kind: [", "neither the address of a scheduler .* nor a file of one: while parsing"),
        ("- kind", "the file: Input should be a valid dictionary"),
        (None, r"neither the address of a scheduler .*: No such file or directory"),
    ],
)
@pytest.mark.filterwarnings("ignore:unclosed cluster:ResourceWarning")
def test_a_file_that_is_wrong_is_said_in_a_line(tmp_path, text, says):
    if text is not None:
        (tmp_path / "cluster.yaml").write_text(text)
    with pytest.raises(LebenchError, match=says) as caught:
        cluster_file.start(tmp_path / "cluster.yaml")
    assert "\n" not in str(caught.value)
    # What Dask has begun to start complains when it is collected.
    del caught
    gc.collect()


def test_what_is_not_installed_is_named():
    with pytest.raises(MissingDependencyError, match=r"needs dask-kubernetes: pip install dask-kubernetes"):
        cluster_file.dask("dask_kubernetes.operator")


def test_a_number_of_jobs_is_for_one_machine(workshop):
    with pytest.raises(LebenchError, match="how large a cluster is, it says itself"):
        execute(workshop.plan(), workshop.store, jobs=2, cluster="tcp://127.0.0.1:9")


SLURM = """
kind: slurm
maximum: 8
options:
  queue: long
  account: theory
  cores: 4
  memory: 16GB
  walltime: "02:00:00"
  job_extra_directives: ["--gres=gpu:1"]
  worker_extra_args: ["--resources", "GPU=1"]
  job_script_prologue: ["module load python"]
  local_directory: /scratch
"""


def test_a_job_script_of_slurm(tmp_path):
    (tmp_path / "cluster.yaml").write_text(SLURM)
    with contextlib.closing(cluster_file.start(tmp_path / "cluster.yaml")) as cluster:
        lines = cluster.job_script().splitlines()
    for line in (
        "#SBATCH -p long",
        "#SBATCH -A theory",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --mem=15G",
        "#SBATCH -t 02:00:00",
        "#SBATCH --gres=gpu:1",
        "module load python",
    ):
        assert line in lines
    for words in (
        sys.executable,
        "dask worker tcp://",
        "--nworkers 4",
        "--local-directory /scratch",
        "--resources GPU=1",
    ):
        assert words in lines[-1].replace("distributed.cli.dask_worker", "dask worker")


@pytest.mark.slow
def test_a_worker_then_the_client_then_the_scheduler_are_killed(workshop, tmp_path):
    what, seeds = ("toy/accuracy", "toy/small", "toy/few"), 12
    expected = done_here(workshop, tmp_path / "here", *what, seeds=range(seeds), seconds=0.5)
    workshop.diary.unlink()
    with contextlib.closing(Dask(tmp_path)) as dask:
        dask.add()
        dask.add()
        first = client(workshop, dask.address, *what, seeds=str(seeds), seconds=0.5)
        wait_for(workshop, 4, first)
        dask.kill_a_worker()
        dask.add()
        wait_for(workshop, 10, first)
        first.kill()
        first.communicate()
        second = client(workshop, dask.address, *what, seeds=str(seeds), seconds=0.5)
        wait_for(workshop, 18, second)
        dask.scheduler.kill()
        dask.scheduler.wait()
        for worker in dask.workers:
            worker.wait(60)
        dask.workers = []
        dask.start()
        dask.add()
        dask.add()
        _, error = second.communicate(timeout=240)
        assert second.returncode == 0, error
        assert "is lost" in error
    assert content(workshop.store.load()) == expected
    assert not (workshop.folder / "spool").exists()
    records = [(record.cell.task, record.cell.seed) for record in workshop.store.load()]
    assert len(records) == len(set(records)) == 3 * seeds
    # Of the fits of a job, two each, those that died under way are made again: one job, then two, then two.
    assert len(workshop.fits()) <= 2 * seeds + 2 * 5


@pytest.mark.slow
def test_a_job_that_kills_three_workers_has_failed(killer, tmp_path):
    with contextlib.closing(Dask(tmp_path)) as dask:
        dask.add("--nanny")
        dask.add("--nanny")
        models = [f"killer[diary={tmp_path}/killed,kills=true]", f"killer[diary={tmp_path}/others]"]
        options = {"plugins": [killer], "results": tmp_path / "results", "cluster": dask.address}
        found = lebench.run(models, "digits/accuracy", "0-1", **options)
    killed = found.model.str.contains("kills")
    failed = found[killed]
    assert set(failed.status) == {"failed"}
    assert set(failed.reason) == {"3 workers of the cluster, or their nodes, died while they computed it"}
    assert len(failed) == 2
    assert set(found[~killed].status) == {"ok"}
    assert len((tmp_path / "killed").read_text().splitlines()) == 6


@pytest.mark.slow
def test_clusters_that_a_file_starts(workshop, tmp_path):
    """That of one machine, and that of Slurm, whose commands start and end processes of this machine here."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "sbatch").write_text("#!/bin/sh\nnohup sh $1 > /dev/null 2>&1 &\necho Submitted batch job $!\n")
    (tools / "scancel").write_text("#!/bin/sh\nkill $1\n")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    for number, text in enumerate(
        ["kind: local\nmaximum: 2", "kind: slurm\nmaximum: 2\noptions: {cores: 1, memory: 2GB}"]
    ):
        (tmp_path / "cluster.yaml").write_text(text)
        plan = workshop.plan("toy/accuracy", seeds=[2 * number, 2 * number + 1])
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
            summary = execute(plan, workshop.store, cluster=tmp_path / "cluster.yaml")
        assert summary.done == 2
