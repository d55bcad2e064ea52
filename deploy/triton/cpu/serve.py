"""In the image of CPU Triton: puts the wheel's parts where the server looks, and starts it with the options of NVIDIA's image.

    serve.py --assemble     at the build: backends, and `tritonserver` on the PATH
    tritonserver OPTION...  afterwards, this file by another name

Standard library only. The embedded stack does the same for one machine, in vidette_local.triton_runtime.
"""

import os
import shutil
import sys
import sysconfig
from pathlib import Path

ROOT = Path("/opt/triton")
BACKENDS = ROOT / "backends"
PACKAGES = Path(sysconfig.get_path("purelib"))
SERVER = PACKAGES / "pytriton" / "tritonserver"


def assemble() -> None:
    """Copied, never linked: Triton refuses what a link leads to outside of the backend directory."""
    python, onnxruntime = BACKENDS / "python", BACKENDS / "onnxruntime"
    shutil.copytree(SERVER / "backends" / "python", python)
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = "triton_python_backend_stub"
    shutil.copy2(SERVER / "python_backend_stubs" / minor / stub, python / stub)
    onnxruntime.mkdir()
    shutil.copy2(Path(__file__).with_name("onnxruntime") / "model.py", onnxruntime / "model.py")
    program = ROOT / "venv" / "bin" / "tritonserver"
    program.unlink(missing_ok=True)  # the wheel's own, which knows nothing of the folders here
    program.write_text(f"#!{sys.executable}\n{Path(__file__).read_text()}")
    program.chmod(0o755)


def serve(options: list[str]) -> None:
    libraries = [sysconfig.get_config_var("LIBDIR"), str(PACKAGES / "nvidia_pytriton.libs")]
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)}
    program = SERVER / "bin" / "tritonserver"
    folders = [f"--backend-directory={BACKENDS}", f"--cache-directory={SERVER / 'caches'}"]
    os.execve(program, [str(program), *folders, *options], environment)


if __name__ == "__main__":
    if sys.argv[1:] == ["--assemble"]:
        assemble()
    else:
        serve(sys.argv[1:])
