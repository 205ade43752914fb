"""The engines that Tandem is compared with, and the virtual environments that they run in."""
import dataclasses
import glob
import hashlib
import os
import subprocess
import sys

from workers import ENVIRONMENT, WorkerError

HERE = os.path.dirname(os.path.abspath(__file__))
BORROWERS = ("openvino", "vllm")  # environments that import what they lack, torch above all, from that called torch
MINUTES = {"torch": "3 GB to fetch", "openvino": "100 MB to fetch", "vllm": "500 MB to fetch",
           "llama": "it is compiled: 13 minutes of one core"}


@dataclasses.dataclass(frozen=True)
class Engine:
    name: str
    environment: str
    precisions: tuple = ("float32", "bf16", "int8")


PEERS = (
    Engine("transformers", "torch", ("float32", "bf16")),
    Engine("ctranslate2", "torch"),
    Engine("llama", "llama"),
    Engine("openvino", "openvino"),
    Engine("vllm", "vllm", ("float32", "bf16")),
)


def say(text):
    print(f"generation_peers: {text}", file=sys.stderr, flush=True)


def script(build, engine):
    return [os.path.join(build, f"peers-venv-{engine.environment}", "bin", "python"),
            os.path.join(HERE, f"{engine.name}_worker.py")]


def install(build, name):
    """Makes the environment build/peers-venv-NAME unless it is as requirements/NAME.txt says; gives its Python."""
    if name in BORROWERS:
        install(build, "torch")
    requirements = os.path.join(HERE, "requirements", f"{name}.txt")
    folder = os.path.join(build, f"peers-venv-{name}")
    python, stamp = os.path.join(folder, "bin", "python"), os.path.join(folder, "requirements.stamp")
    with open(requirements, "rb") as file:
        wanted = hashlib.sha256(file.read() + sys.version.encode()).hexdigest()
    if not os.path.exists(stamp) or open(stamp, encoding="utf-8").read() != wanted:
        say(f"making {folder} (once; {MINUTES[name]})")
        run([sys.executable, "-m", "venv", "--clear", folder], folder + ".log")
        if name in BORROWERS:
            borrow(folder, os.path.join(build, "peers-venv-torch"))
        run([python, "-m", "pip", "install", "--disable-pip-version-check", "--no-deps", "-r", requirements],
            folder + ".log", CMAKE_ARGS="-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF")
        with open(stamp, "w", encoding="utf-8") as file:
            file.write(wanted)
    return python


def borrow(folder, lender):
    packages = lambda venv: glob.glob(os.path.join(venv, "lib", "python3*", "site-packages"))[0]
    with open(os.path.join(packages(folder), "borrowed.pth"), "w", encoding="utf-8") as file:
        file.write(packages(lender) + "\n")


def run(command, log, **environment):
    with open(log, "ab") as file:
        done = subprocess.run(command, stdout=file, stderr=file, env=os.environ | ENVIRONMENT | environment)
    if done.returncode != 0:
        raise WorkerError(f"{os.path.basename(command[0])} {' '.join(command[1:3])} fails (see {log})")
