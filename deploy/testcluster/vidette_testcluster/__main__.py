"""The command line. What each command does stands in the package's docstring, which `--help` shows."""

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import vidette_testcluster
from vidette_testcluster import build, cluster, control_plane, node, packages, service_images, teardown
from vidette_testcluster.errors import ClusterError
from vidette_testcluster.processes import surroundings
from vidette_testcluster.state import Folder, Process


def default_state() -> Path:
    named = os.environ.get("VIDETTE_TESTCLUSTER_STATE")
    return Path(named) if named else Path("/tmp", f"vidette-testcluster-{os.geteuid()}")


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        prog="vidette_testcluster",
        description=vidette_testcluster.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument(
        "--state", type=Path, default=default_state(), help="the folder of the cluster (default: %(default)s)"
    )
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("build", help="build the programs and the images of our services, if they are not built yet")
    commands.add_parser("ingress", help="build Traefik, if it is not built yet, and print the folder that it is in")
    _add_up(commands.add_parser("up", help="bring a cluster up and print the path of its kubeconfig"))
    commands.add_parser("down", help="take the cluster down, however much of it there is")
    status = commands.add_parser("status", help="tell addresses, pids and logs")
    status.add_argument("--json", action="store_true")
    commands.add_parser("kubectl", help="kubectl as the cluster's administrator").add_argument(
        "rest", nargs=argparse.REMAINDER
    )
    commands.add_parser("exec", help="run a command inside the cluster's network").add_argument(
        "rest", nargs=argparse.REMAINDER
    )
    images = commands.add_parser("images", help="make images known to the node").add_subparsers(
        dest="what", required=True
    )
    images.add_parser("import", help="archives of docker or OCI").add_argument("files", nargs="+", type=Path)
    images.add_parser(
        "services", help="Vidette's own, built if they are not built yet; prints their references as JSON"
    )
    tag = images.add_parser("tag", help="give an image that the node has one more name")
    tag.add_argument("image")
    tag.add_argument("name")
    stop = commands.add_parser("stop", help="end one program of the cluster")
    stop.add_argument("part")
    stop.add_argument("--kill", action="store_true", help="without a chance to end properly")
    start = commands.add_parser("start", help="start a program that was stopped")
    start.add_argument("part")
    start.add_argument(
        "--backoff", choices=("real", "short"), help="the job controller's pause before it replaces a failed pod"
    )
    guard = commands.add_parser("guard", help="(used by up --until) take the cluster down when a process has ended")
    guard.add_argument("--pid", type=int, required=True)
    guard.add_argument("--started", type=int, required=True)
    return whole


def _argument(text: str) -> tuple[str, str]:
    part, _, flag = text.partition("=")
    if part not in control_plane.NAMES + node.NAMES or not flag:
        known = ", ".join(control_plane.NAMES + node.NAMES)
        raise argparse.ArgumentTypeError(f"{text!r} is not PART=FLAG with a PART out of {known}")
    return part, flag


def _add_up(up: argparse.ArgumentParser) -> None:
    up.add_argument("--control-plane-only", action="store_true", help="no node: Jobs and pods can be made, none runs")
    up.add_argument(
        "--real-backoff", action="store_true", help="let the job controller wait 10 s, 20 s, 40 s as it does"
    )
    up.add_argument(
        "--argument",
        type=_argument,
        action="append",
        default=[],
        metavar="PART=FLAG",
        help="a further flag for one program, as in: --argument kube-controller-manager=--kube-api-qps=500",
    )
    up.add_argument("--until", type=int, metavar="PID", help="take the cluster down when this process has ended")


def run(arguments: argparse.Namespace) -> int:
    folder = Folder(arguments.state.absolute())
    match arguments.command:
        case "build":
            # First what needs no time: nobody should wait for Kubernetes to be compiled, and then be told.
            teardown.must_be_root()
            packages.ensure(control_plane_only=False)
            print(build.ensure())
            service_images.ensure()
        case "ingress":
            print(build.built(build.INGRESS, build.SOURCES))
        case "up":
            flags = tuple(arguments.argument)
            wishes = cluster.Wishes(arguments.control_plane_only, arguments.real_backoff, flags, arguments.until)
            cluster.up(folder, wishes)
            print(folder.kubeconfig)
        case "down":
            teardown.down(folder)
        case "status":
            _tell(cluster.status(folder), arguments.json)
        case "kubectl":
            command = cluster.kubectl(folder, cluster.standing(folder), *arguments.rest)
            return subprocess.run(command, env=surroundings()).returncode
        case "exec":
            _execute(folder, arguments.rest)
        case "images":
            _images(folder, arguments)
        case "stop":
            cluster.stop_part(folder, arguments.part, signal.SIGKILL if arguments.kill else signal.SIGTERM)
        case "start":
            real = None if arguments.backoff is None else arguments.backoff == "real"
            cluster.start_part(folder, arguments.part, real)
        case "guard":
            teardown.guard(folder, Process(arguments.pid, arguments.started))
    return 0


def _images(folder: Folder, arguments: argparse.Namespace) -> None:
    record = cluster.standing(folder)
    if arguments.what == "import":
        cluster.import_images(folder, record, arguments.files)
        return
    if arguments.what == "tag":
        cluster.tag_image(folder, record, arguments.image, arguments.name)
        return
    images = service_images.ensure()
    known = cluster.known_images(folder, record)
    cluster.import_images(folder, record, [image.archive for image in images if image.reference not in known])
    print(json.dumps({image.service: image.reference for image in images}))


def _execute(folder: Folder, words: list[str]) -> None:
    command = words[1:] if words[:1] == ["--"] else words
    if not command:
        raise ClusterError("which command? Write it behind two dashes: exec -- COMMAND ARGUMENT...")
    cluster.execute(folder, command)


def _tell(status: dict[str, object], as_json: bool) -> None:
    if as_json:
        print(json.dumps(status, indent=1))
        return
    for key, value in status.items():
        if isinstance(value, dict):
            for name, entry in value.items():
                print(f"{name:24} {'alive' if entry['alive'] else 'ended'} {entry['pid']}")
        else:
            print(f"{key:24} {value}")


def main() -> int:
    try:
        return run(parser().parse_args())
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
