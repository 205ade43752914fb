"""An engine's worker process, pinned to one processor core and stopped whenever it is not its turn."""
import json
import os
import select
import signal
import subprocess

ONE_THREAD = {name: "1" for name in (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "RAYON_NUM_THREADS")}
ENVIRONMENT = {**ONE_THREAD, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "CUDA_VISIBLE_DEVICES": "",
               "OPENVINO_TELEMETRY_OPT_OUT": "1", "DO_NOT_TRACK": "1", "PYTHONDONTWRITEBYTECODE": "1"}
LOAD_SECONDS = 900  # also for compiling
TURN_SECONDS = 600


class WorkerError(Exception):
    """Why an engine cannot run a cell; one line for the table."""


class Worker:
    """Start() it, ask() it, stop() it. Between these calls its processes are stopped by SIGSTOP."""

    def __init__(self, command, core, log):
        self.command, self.core, self.log = command, core, log
        self.process = None
        self.name = self.note = ""

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=os.environ | ENVIRONMENT,
                start_new_session=True, preexec_fn=lambda: os.sched_setaffinity(0, {self.core}))
        try:
            ready = self.answer(LOAD_SECONDS)
        except WorkerError:
            self.stop()
            raise
        self.signal(signal.SIGSTOP)
        self.name, self.note = ready.get("engine", ""), ready.get("note", "")

    def ask(self, request):
        """The answer to a request, or a WorkerError."""
        self.signal(signal.SIGCONT)
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # its end says more
        answer = self.answer(TURN_SECONDS)
        self.signal(signal.SIGSTOP)
        return answer

    def answer(self, seconds):
        """The next line; a WorkerError when it says so, or after which the worker is gone."""
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            self.stop()
            raise WorkerError(f"no answer within {seconds} s (see {self.log})")
        line = self.process.stdout.readline()
        if not line:
            status = self.process.wait()
            self.process = None
            how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
            raise WorkerError(f"{how} (see {self.log})")
        answer = json.loads(line)
        if "error" in answer:
            self.signal(signal.SIGSTOP)
            raise WorkerError(answer["error"])
        return answer

    def stop(self):
        if self.process:
            self.signal(signal.SIGCONT)
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.signal(signal.SIGKILL)
                self.process.wait()
            self.process = None

    def signal(self, number):
        """To the worker and to processes that it started."""
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def memory(self):
        """Bytes, those shared with other workers divided among them."""
        try:
            with open(f"/proc/{self.process.pid}/smaps_rollup", encoding="utf-8") as file:
                return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
        except (OSError, AttributeError, StopIteration):
            return 0
