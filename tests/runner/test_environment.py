"""What a record says of where it was made."""

import subprocess
import sys
from importlib.metadata import version
from types import SimpleNamespace

import numpy as np

from lebench import plugins
from lebench.devices import CPU, Device
from lebench.records import Environment
from lebench.runner.environment import cores, environment, source
from lebench.runner.executors import LocalExecutor
from lebench.runner.plan import Job
from lebench.runner.results import Origin


def test_environment_names_what_is_installed():
    described = environment()
    assert described.packages["numpy"] == np.__version__
    assert described.python == ".".join(str(part) for part in sys.version_info[:3])
    assert described.threads == 1
    assert described.cpu
    assert cores() >= 1


def test_source_is_the_commit_of_the_checkout():
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    assert source().commit == (head or None)


def test_describing_imports_no_framework():
    code = (
        "import sys; from lebench.runner.environment import environment; environment(); "
        "from lebench.runner import plan, store, execution; "
        "print(sorted({'torch', 'jax', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_packages_that_a_plugin_imports_are_part_of_the_environment(tmp_path):
    (tmp_path / "mine.py").write_text("import os\nimport helper\n\ndef fit():\n    from pandas import DataFrame\n")
    (tmp_path / "helper.py").write_text("import click.core\nimport lebench, nowhere\n")
    found = plugins.find(tmp_path / "mine.py")
    assert found.packages() == {"pandas", "click", "lebench", "nowhere"}
    recorded = Origin.here("", [found]).environment.packages
    assert recorded == {**environment().packages, "pandas": version("pandas"), "click": version("click")}


def test_a_record_names_the_device_if_it_is_not_the_processor():
    origin = Origin.here("test")
    assert origin.on(Device(CPU)) is origin
    assert (origin.device, origin.environment.device) == (CPU, None)
    # Records of the processor are what they were before there were devices.
    assert not {"device", "driver", "deterministic"} & origin.environment.model_dump().keys()
    there = origin.on(Device("cuda:1", "NVIDIA H200", "driver 570.1, CUDA 12.8"))
    assert there.device == "cuda:1"
    said = there.environment.model_dump(include={"device", "driver", "deterministic"})
    assert said == {"device": "cuda:1 NVIDIA H200", "driver": "driver 570.1, CUDA 12.8", "deterministic": True}
    assert Environment(**there.environment.model_dump()) == there.environment


def test_workers_take_the_device_that_fewest_others_use():
    gpus = Device("cuda:0"), Device("cuda:1")
    executor = LocalExecutor(3, 1.0, 1, Origin.here("test"), devices={"torch": gpus})
    job = Job("mlp", "torch", "digits", 0, ())
    on = [SimpleNamespace(device=gpu) for gpu in gpus]
    assert executor._free(job, []) == gpus[0]
    assert executor._free(job, [on[0]]) == gpus[1]
    assert executor._free(job, [*on, on[1]]) == gpus[0]
    assert executor._free(Job("knn", "numpy", "digits", 0, ()), on) == Device(CPU)
