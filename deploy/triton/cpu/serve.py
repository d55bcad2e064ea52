"""In the image of CPU Triton: puts the wheel's parts where the server looks, and starts it with the options of NVIDIA's image.

    serve.py --assemble     at the build: backends, and `tritonserver` on the PATH
    tritonserver OPTION...  afterwards, this file by another name
    tritonserver --stubs    for a liveness probe: fails when the server does not answer, or a model has lost its process

Standard library only. The embedded stack does the same for one machine, in vidette_local.triton_runtime.
"""

import os
import shutil
import sys
import sysconfig
import urllib.request
from pathlib import Path

ROOT = Path("/opt/triton")
BACKENDS = ROOT / "backends"
PACKAGES = Path(sysconfig.get_path("purelib"))
SERVER = PACKAGES / "pytriton" / "tritonserver"
STUB = "triton_python_backend_stub"
SEEN = Path("/tmp/stubs")
LIVE = "http://127.0.0.1:8000/v2/health/live"


def assemble() -> None:
    """Copied, never linked: Triton refuses what a link leads to outside of the backend directory."""
    python, onnxruntime = BACKENDS / "python", BACKENDS / "onnxruntime"
    shutil.copytree(SERVER / "backends" / "python", python)
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copy2(SERVER / "python_backend_stubs" / minor / STUB, python / STUB)
    onnxruntime.mkdir()
    shutil.copy2(Path(__file__).with_name("onnxruntime") / "model.py", onnxruntime / "model.py")
    program = ROOT / "venv" / "bin" / "tritonserver"
    program.unlink(missing_ok=True)  # the wheel's own, which knows nothing of the folders here
    program.write_text(f"#!{sys.executable}\n{Path(__file__).read_text()}")
    program.chmod(0o755)


def serve(options: list[str]) -> None:
    SEEN.unlink(missing_ok=True)  # of the container before this one, in the same pod
    libraries = [sysconfig.get_config_var("LIBDIR"), str(PACKAGES / "nvidia_pytriton.libs")]
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)}
    program = SERVER / "bin" / "tritonserver"
    folders = [f"--backend-directory={BACKENDS}", f"--cache-directory={SERVER / 'caches'}"]
    os.execve(program, [str(program), *folders, *options], environment)


def lost_stubs() -> int:
    """How many processes of models are gone. Triton does not notice: it calls such a model ready, and never serves it again."""
    running = sum(_runs_a_stub(folder) for folder in Path("/proc").glob("[0-9]*"))
    seen = int(SEEN.read_text()) if SEEN.exists() else 0
    if running > seen:
        unfinished = SEEN.with_suffix(f".{os.getpid()}")
        unfinished.write_text(str(running))
        unfinished.replace(SEEN)
    return max(0, seen - running)


def _runs_a_stub(folder: Path) -> bool:
    try:
        # A zombie has no command line any more.
        return STUB.encode() in (folder / "cmdline").read_bytes().split(b"\0")[0]
    except OSError:  # it ended meanwhile
        return False


if __name__ == "__main__":
    if sys.argv[1:] == ["--assemble"]:
        assemble()
    elif sys.argv[1:] == ["--stubs"]:
        urllib.request.urlopen(LIVE, timeout=3).close()
        lost = lost_stubs()
        sys.exit(f"{lost} models have lost their process" if lost else 0)
    else:
        serve(sys.argv[1:])
