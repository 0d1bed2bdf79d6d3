"""`python -m demo` and `clickaway demo`: the page in the browser."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.limits import Limits, size_in_bytes
from pipeline.argument_types import Parser
from weights import named_file

if TYPE_CHECKING:  # Gradio takes seconds to import: --help does not wait for it
    from demo.studio import Studio
    from pipeline.models import Models


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the page until Ctrl+C. Returns the exit code: 0, or 2 where it could not be started."""
    args = _parser().parse_args(argv)
    try:
        login = _logins(args.login) if args.login is not None else []
        _check_host(args.host)
        models = _models(args)
        visitors_folder = _visitors_folder()
    except (OSError, ValueError) as error:
        reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else error
        print(f"clickaway demo: {reason}", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service manager's stop cleans up like Ctrl+C
    try:
        with visitors_folder as folder:
            os.environ["GRADIO_TEMP_DIR"] = folder
            os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
            for name in ("no_proxy", "NO_PROXY"):  # Gradio calls itself when it starts: not by the machine's web proxy
                known = os.environ.get(name, "")
                os.environ[name] = ",".join(filter(None, (known, "127.0.0.1", "localhost", args.host)))
            return _serve(args, login, models)
    except KeyboardInterrupt:
        return 0


def _visitors_folder() -> tempfile.TemporaryDirectory[str]:
    """A new folder that no other user can read, and that goes when the server does.

    It lies in GRADIO_TEMP_DIR where that is set, and is not that folder: others' files there are not ours to sweep.
    Raises OSError if it cannot be made, ValueError if that is because of GRADIO_TEMP_DIR.
    """
    named = os.environ.get("GRADIO_TEMP_DIR")
    chosen = Path(named).absolute() if named else None
    try:
        if chosen is not None:
            chosen.mkdir(parents=True, exist_ok=True)  # as Gradio would
        return tempfile.TemporaryDirectory(prefix="clickaway-", dir=chosen, ignore_cleanup_errors=True)
    except OSError as error:
        if chosen is None:
            raise
        raise ValueError(
            f"GRADIO_TEMP_DIR={chosen} cannot hold visitors' files ({error.strerror}): set another folder, or none"
        ) from error


def _models(args: argparse.Namespace) -> Models:
    """The models, not loaded yet. Raises ValueError for what visitors could never be answered with."""
    from pipeline.models import Models

    options: dict[str, Any] = {}
    if args.checkpoint is not None:
        options["checkpoint"] = named_file(args.checkpoint)
        if not options["checkpoint"].is_file():
            raise ValueError(f"--checkpoint: expected a file with the segmenter's weights, got {args.checkpoint!r}")
    offline = True if args.offline else None
    models = Models(args.segmenter, args.inpainter, options, device=args.device, offline=offline)
    models.check()
    return models


def _serve(args: argparse.Namespace, login: Sequence[tuple[str, str]], models: Models) -> int:
    from PIL import Image

    from demo.app import build_app
    from demo.studio import Studio
    from pipeline.models import Models
    from pipeline.video import film_models

    without_click = Models(device=models.device, offline=models.offline)  # --segmenter may be one that wants clicks
    studio = Studio(
        lambda: models.clicked,
        lambda: models.filler,
        load_subject=lambda: without_click.subject,
        load_live=lambda: film_models(without_click).subject,
        subject_notes=without_click.subject_notes,
        max_pixels=args.max_megapixels * 10**6,
    )
    Image.MAX_IMAGE_PIXELS = args.max_megapixels * 10**6 // 2  # Pillow refuses twice that: Gradio opens webcam frames
    demo = build_app(studio, jobs=args.jobs, limits=_limits(args))
    try:
        url = demo.launch(host=args.host, port=args.port, open_browser=_can_open(args), login=login)
    except OSError:
        where = f"port {args.port}" if args.port else "any port from 7860 on"
        print(f"clickaway demo: cannot listen on {args.host}, {where}: choose another one with --port", file=sys.stderr)
        return 2
    print(f"Clickaway is on {url}  (Ctrl+C stops it)", flush=True)
    if not login and args.host not in ("127.0.0.1", "::1", "localhost"):
        print("Whoever can reach this machine can use it: --login FILE asks for a name and a password", flush=True)
    threading.Thread(target=_warm_up, args=(studio,), daemon=True).start()
    try:
        threading.Event().wait()
    finally:
        demo.close()
    return 0


def _warm_up(studio: Studio) -> None:
    try:
        studio.warm_up()
    except Exception as error:  # visitors are told the same at their first click
        print(f"clickaway demo: a model could not be loaded: {error}", file=sys.stderr, flush=True)


def _can_open(args: argparse.Namespace) -> bool:
    """Whether to open a browser: on a machine without a screen there may be a text browser, which nobody wants."""
    if args.no_browser:
        return False
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="clickaway demo",
        description="Click an object in a photo, get the photo without it: in the browser.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 lets others in (default: %(default)s)")
    add("--port", type=_port, help="default: the first free one from 7860 on")
    add("--segmenter", help="what finds the object: auto, mask_rcnn, grabcut, ... (default: auto)")
    add("--checkpoint", metavar="FILE", help="weights for the segmenter")
    add("--inpainter", default="auto", help="what fills the hole: auto, pconv, telea, ... (default: %(default)s)")
    add("--device", help="cpu, cuda, cuda:1 (default: what there is)")
    add("--offline", action="store_true", help="never download weights")
    add("--jobs", type=_at_least_one, default=1, help="requests that use the models at a time (default: %(default)s)")
    add("--no-browser", action="store_true", help="do not open a browser")
    add = parser.add_argument_group("strangers", "what visitors may do (SECURITY.md says more)").add_argument
    add("--login", metavar="FILE", help="lines of name:password; without it whoever reaches the page may use it")
    add("--keep-metadata", action="store_true", help="downloads keep the photo's place, time, camera and names")
    add("--keep-minutes", type=_at_least_one, default=60, metavar="N", help="photos left alone (default: %(default)s)")
    add("--max-file-size", type=_size, default="50mb", metavar="SIZE", help="of an upload (default: %(default)s)")
    add("--max-megapixels", type=_at_least_one, default=60, metavar="N", help="of a photo (default: %(default)s)")
    add(
        "--max-memory",
        type=_size,
        metavar="SIZE",
        help="of all photos and undo steps (default: half of what is free, 4gb at most)",
    )
    add(
        "--max-disk",
        type=_size,
        default="4gb",
        metavar="SIZE",
        help="of all uploads and results (default: %(default)s)",
    )
    add(
        "--max-requests",
        type=_whole,
        default=240,
        metavar="N",
        help="of one address, a minute; 0: any (default: %(default)s)",
    )
    add("--max-queue", type=_at_least_one, default=64, metavar="N", help="requests that wait (default: %(default)s)")
    add("--max-queue-of-one", type=_at_least_one, default=16, metavar="N", help="of one address (default: %(default)s)")
    return parser


def _limits(args: argparse.Namespace) -> Limits:
    from pipeline.machine import free_memory_bytes

    return Limits(
        file_bytes=args.max_file_size,
        requests_a_minute=args.max_requests,
        queue=args.max_queue,
        queue_of_one=args.max_queue_of_one,
        memory_bytes=args.max_memory or min(Limits.memory_bytes, free_memory_bytes() // 2),
        disk_bytes=args.max_disk,
        kept_seconds=60 * args.keep_minutes,
        strip_metadata=not args.keep_metadata,
    )


def _logins(file: str) -> list[tuple[str, str]]:
    """Names and passwords of a file. Raises ValueError if there are none, OSError if it cannot be read."""
    if not file:  # a variable that was not set must not open the page to everybody
        raise ValueError("--login: expected the name of a file with lines of name:password, got ''")
    try:
        lines = [line.strip() for line in Path(file).read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: expected lines of name:password, got what is no text ({error})") from error
    pairs = [line.partition(":") for line in lines if line and not line.startswith("#")]
    if not pairs or not all(name and password for name, _, password in pairs):
        raise ValueError(f"{file}: expected lines of name:password")
    return [(name, password) for name, _, password in pairs]


def _check_host(host: str) -> None:
    """Raises ValueError for an address that is not this machine's: Gradio would try it on a hundred ports."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"cannot listen on {host!r} ({reason}): --host takes an address of this machine") from error


def _size(text: str) -> int:
    try:
        return size_in_bytes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}")
    return int(text)


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text!r}")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"expected a port, 1..65535, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
