"""How long the command line takes to answer, beside a bare Python and beside importing torch.

CPU seconds of whole processes, interleaved in one run, median [min, max] of the rounds. What `lebench list` imports is
asserted by a test; here is what that is worth.

    python benchmarks/startup_bench.py [--rounds 10]
"""

import argparse
import resource
import subprocess
import sys

import timing

COMMANDS = {
    "python": "pass",
    "lebench --help": "import sys; sys.argv = ['lebench', '--help']; from lebench.cli import main; main()",
    "lebench list models": "import sys; sys.argv = ['lebench', 'list', 'models']; from lebench.cli import main; main()",
    "import lebench": "import lebench",
    "import torch": "import torch",
}


def cpu_seconds(code):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    for code in COMMANDS.values():
        cpu_seconds(code)  # fills the file cache
    seconds = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, code in COMMANDS.items():
            seconds[name].append(cpu_seconds(code))
    for name, values in seconds.items():
        ratio = timing.spread(timing.ratios(seconds, name, "python"))
        print(f"{name:20} {timing.spread(values)} CPU s, {ratio} times a bare Python")


if __name__ == "__main__":
    main()
