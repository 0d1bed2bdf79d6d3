"""The page: its components, and which handler answers which of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from demo import page as layout
from demo.api import add_endpoints
from demo.events import Events
from demo.examples import example_photos
from demo.gate import Gate
from demo.housekeeping import Housekeeping, give_uploads_folders_of_their_own
from demo.limits import Limits
from demo.live import add_live
from demo.studio import Studio
from demo.theme import HEAD, css, theme

SESSIONS = 100  # known to Gradio at a time, programs among them; what they hold is limited by its size

_SWITCH_TOOL = "(tool) => { document.body.dataset.tool = tool === 'Brush' ? 'brush' : 'click'; }"
_SWITCH_SIGN = "(sign) => { document.body.dataset.sign = sign; }"
_SIZE_BRUSH = "(size) => { document.body.dataset.brush = size; }"
_SAY = "(...values) => { document.querySelector('.ca-busy').textContent = '%s'; return values; }"
_SAVE_FILE = "() => { document.querySelector('#download')?.click(); }"


@dataclass(frozen=True)
class Demo:
    """The page, ready for `launch`."""

    blocks: gr.Blocks
    housekeeping: Housekeeping
    limits: Limits

    def launch(self, *, host: str, port: int | None, open_browser: bool, login: Sequence[tuple[str, str]] = ()) -> str:
        """Starts the server and comes back at once with its address. Raises OSError if the port is taken.

        login: names with their passwords; with none, whoever finds the page may use it.
        """
        give_uploads_folders_of_their_own()
        gate = Middleware(
            Gate,
            limits=self.limits,
            waiting=self.housekeeping.waiting,
            make_room=self.housekeeping.make_room,
            own=self.housekeeping.own,
        )
        _, url, _ = self.blocks.launch(
            server_name=host,
            server_port=port,
            auth=list(login) or None,
            max_file_size=self.limits.file_bytes,
            inbrowser=open_browser,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            mcp_server=False,
            state_session_capacity=SESSIONS,
            theme=theme(),
            css=css(),
            head=HEAD,
            js=Path(__file__).with_name("page.js").read_text(encoding="utf-8"),
            app_kwargs={"middleware": [gate]},
            # Else Gradio asks itself for the page, through the machine's web proxy if there is one and within three
            # seconds however busy the machine is, and gives up if it gets no answer.
            _frontend=False,
        )
        self.housekeeping.start()
        return url

    def close(self) -> None:
        """Stops the server and deletes what visitors have left."""
        self.housekeeping.stop()
        self.blocks.close(verbose=False)


def build_app(studio: Studio, *, jobs: int = 1, limits: Limits | None = None) -> Demo:
    """The page. jobs: how many requests may use the models at the same time. limits: None for the usual ones."""
    limits = limits or Limits()
    examples = example_photos()
    kept_seconds = limits.kept_seconds
    with gr.Blocks(
        title="Clickaway", analytics_enabled=False, fill_width=True, delete_cache=(600, kept_seconds)
    ) as app:
        session = gr.State(None, time_to_live=kept_seconds)
        housekeeping = Housekeeping(app, session, limits, session.GRADIO_CACHE)
        page = layout.build(examples, stripped=limits.strip_metadata)
        add_endpoints(studio, jobs, housekeeping.save, housekeeping.stay)  # first: they get the names that they ask for
        _wire(Events(page, session, studio, examples, housekeeping.save, housekeeping.stay), jobs)
        with page.live:
            add_live(studio)
        app.unload(housekeeping.leave)
    app.queue(max_size=limits.queue, default_concurrency_limit=8, api_open=False)
    return Demo(app, housekeeping, limits)


def _wire(events: Events, jobs: int) -> None:
    page, session = events.page, events.session
    outputs = [session, *(getattr(page, field.name) for field in fields(page))]
    quiet: dict[str, Any] = {"api_visibility": "private", "outputs": outputs, "show_progress": "hidden"}
    # One limit for all that uses the models: a second visitor waits for his turn, not for memory.
    models: dict[str, Any] = {
        "api_visibility": "private",
        "outputs": outputs,
        "concurrency_id": "models",
        "concurrency_limit": jobs,
        "show_progress_on": [page.stage],
    }
    encode: dict[str, Any] = models | {"outputs": None, "show_progress": "hidden", "show_progress_on": None}
    files: dict[str, Any] = {"concurrency_id": "files", "concurrency_limit": 2}  # a photo in work is large
    opening: dict[str, Any] = quiet | files | {"show_progress": "full", "show_progress_on": [page.upload]}

    page.upload.upload(events.open_upload, page.upload, **opening).then(events.encode, session, **encode)
    page.examples.select(events.open_example, None, **opening).then(events.encode, session, **encode)
    page.new_photo.click(events.start_over, None, **quiet)

    page.tool.change(None, page.tool, None, js=_SWITCH_TOOL, api_visibility="private")
    page.sign.change(None, page.sign, None, js=_SWITCH_SIGN, api_visibility="private")
    page.brush.change(None, page.brush, None, js=_SIZE_BRUSH, api_visibility="private")

    page.stage.point(events.point, [session, page.sign], **models)
    # One stroke at a time, in their order: each is drawn on what the one before has left.
    strokes: dict[str, Any] = quiet | {"trigger_mode": "multiple", "concurrency_limit": 1}
    page.stage.paint(events.paint, [session, page.sign], **strokes)
    page.another.click(events.another, session, **quiet)
    page.subject.click(events.main_subject, session, js=_SAY % "Looking for the main subject", **models)
    page.clear.click(events.clear, session, **quiet)
    page.grow.release(events.grow, [session, page.grow], **quiet)
    for button in (page.undo, page.back):
        button.click(events.undo, session, **quiet)

    page.erase.click(
        events.erase, [session, page.grow, page.erase_feather], js=_SAY % "Filling in what was behind it", **models
    )
    page.cut.click(events.cut_out, [session, page.cut_feather, page.cut_fine], js=_SAY % "Cutting it out", **models)
    page.blur.click(
        events.blur,
        [session, page.blur_sigma, page.blur_feather, page.blur_fine],
        js=_SAY % "Blurring the background",
        **models,
    )
    page.replace.click(
        events.replace,
        [session, page.color, page.background, page.replace_feather, page.replace_fine],
        js=_SAY % "Replacing the background",
        **models,
    )

    page.go_on.click(events.go_on, session, **quiet).then(events.encode, session, **encode)
    saving: dict[str, Any] = quiet | files | {"outputs": [page.download], "show_progress": "minimal"}
    for button, handler in ((page.png, events.download_png), (page.own, events.download_own)):
        button.click(handler, session, **saving).success(None, None, None, js=_SAVE_FILE, api_visibility="private")
