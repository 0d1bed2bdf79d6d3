"""What is on the page, and where. No behaviour: that is in app.py."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from demo.examples import Example, thumbnail
from demo.stage import stage
from demo.theme import MARK

STRIPPED = "Downloads hold no place, camera, time or names from the photo’s metadata."
INVITATION = "Choose a photo, then click the thing that should not be in it."


@dataclass(frozen=True)
class Page:
    """The components that something happens to."""

    landing: gr.Column
    upload: gr.File
    examples: gr.Gallery
    live: gr.Column
    workspace: gr.Row
    stage: gr.HTML
    hint: gr.HTML
    tools: gr.Column
    tool: gr.Radio
    sign: gr.Radio
    brush: gr.Slider
    undo: gr.Button
    clear: gr.Button
    another: gr.Button
    subject: gr.Button
    grow: gr.Slider
    erase_feather: gr.Slider
    erase: gr.Button
    cut_feather: gr.Slider
    cut_fine: gr.Checkbox
    cut: gr.Button
    blur_sigma: gr.Slider
    blur_feather: gr.Slider
    blur_fine: gr.Checkbox
    blur: gr.Button
    color: gr.ColorPicker
    background: gr.File
    replace_feather: gr.Slider
    replace_fine: gr.Checkbox
    replace: gr.Button
    outcome: gr.Column
    png: gr.Button
    own: gr.Button
    download: gr.DownloadButton
    go_on: gr.Button
    back: gr.Button
    new_photo: gr.Button


def build(examples: list[Example], *, stripped: bool = False) -> Page:
    """Lays the page out. To be called inside a gr.Blocks. stripped: say that downloads tell less than the photo."""
    with gr.Row(elem_id="top"):
        gr.HTML(f"{MARK}<span>Clickaway</span>", elem_id="brand", apply_default_css=False)
        new_photo = gr.Button("New photo", size="sm", visible=False, elem_id="new-photo", scale=0, min_width=110)
    with gr.Column(elem_id="landing") as landing:
        gr.HTML(f"<h1>Click it away</h1><p>{INVITATION}</p>", elem_id="invitation", apply_default_css=False)
        with gr.Tabs(elem_id="ways"):
            with gr.Tab("Photo"):
                upload = gr.File(
                    file_types=_PHOTOS,
                    show_label=False,
                    height=240,
                    elem_id="upload",
                )
                gr.HTML("<p>No photo at hand? Take one of these.</p>", elem_id="or", apply_default_css=False)
                gallery = gr.Gallery(
                    [(thumbnail(example), example.name) for example in examples],
                    show_label=False,
                    columns=4,
                    object_fit="cover",
                    height="auto",
                    allow_preview=False,
                    buttons=[],
                    interactive=False,
                    format="jpeg",
                    elem_id="examples",
                    visible=bool(examples),
                )
            with gr.Tab("Webcam"):
                live = gr.Column(elem_id="webcam")
    with gr.Row(elem_id="workspace", visible=False) as workspace:
        with gr.Column(elem_id="picture", scale=3, min_width=300):
            picture = stage()
        with gr.Column(elem_id="panel", scale=1, min_width=300):
            hint = gr.HTML("", elem_id="hint", apply_default_css=False)
            with gr.Column(elem_id="tools") as tools:
                with gr.Row(elem_classes="switches"):
                    tool = _switch("Click", "Brush", elem_id="tool")
                    sign = _switch("Add", "Take away", elem_id="sign")
                brush = gr.Slider(1, 20, value=4, step=0.5, label="Brush size", buttons=[], elem_id="brush-size")
                with gr.Row(elem_classes="steps"):
                    undo = gr.Button("Undo", size="sm", min_width=60, elem_id="undo")
                    clear = gr.Button("Reset", size="sm", min_width=60)
                    another = gr.Button("Other guess", size="sm", min_width=100, elem_id="another")
                subject = gr.Button("Select the main subject", size="sm", elem_id="subject")
                # render_children: a slider that is not on the page misses the values that a new photo gives it.
                with gr.Tabs(elem_id="effects"):
                    with gr.Tab("Erase", render_children=True):
                        erase = gr.Button("Erase", variant="primary", elem_id="erase")
                        grow = gr.Slider(0, 60, step=1, label="Grow the selection, px", buttons=[], elem_id="grow")
                        erase_feather = _feather("Blend with the photo, px")
                    with gr.Tab("Cut out", render_children=True):
                        cut = gr.Button("Cut out", variant="primary", elem_id="cut")
                        cut_feather = _feather()
                        cut_fine = _fine()
                    with gr.Tab("Blur", render_children=True):
                        blur = gr.Button("Blur the background", variant="primary", elem_id="blur")
                        blur_sigma = gr.Slider(1, 60, step=0.5, label="Strength of the blur, px", buttons=[])
                        blur_feather = _feather()
                        blur_fine = _fine()
                    with gr.Tab("Replace", render_children=True):
                        replace = gr.Button("Replace the background", variant="primary", elem_id="replace")
                        color = gr.ColorPicker("#f4f4f5", label="With a colour", elem_id="color")
                        background = gr.File(file_types=_PHOTOS, show_label=False, height=52, elem_id="background")
                        replace_feather = _feather()
                        replace_fine = _fine()
            with gr.Column(elem_id="outcome", visible=False) as outcome:
                with gr.Row(elem_classes="downloads"):
                    png = gr.Button("Download PNG", variant="primary", min_width=100, elem_id="download-png")
                    own = gr.Button("JPEG", min_width=100, elem_id="download-own")
                if stripped:
                    gr.HTML(f"<p>{STRIPPED}</p>", elem_id="stripped", apply_default_css=False)
                go_on = gr.Button("Keep editing this photo", elem_id="go-on")
                back = gr.Button("Undo", elem_id="back")
                download = gr.DownloadButton("Download", elem_id="download")  # app.py presses it
    return Page(
        landing=landing, upload=upload, examples=gallery, workspace=workspace, stage=picture,
        hint=hint, tools=tools, tool=tool, sign=sign, brush=brush, undo=undo, clear=clear, another=another, grow=grow,
        subject=subject, live=live, cut_fine=cut_fine, blur_fine=blur_fine, replace_fine=replace_fine,
        erase_feather=erase_feather, erase=erase, cut_feather=cut_feather, cut=cut, blur_sigma=blur_sigma,
        blur_feather=blur_feather, blur=blur, color=color, background=background, replace_feather=replace_feather,
        replace=replace, outcome=outcome, png=png, own=own, download=download, go_on=go_on, back=back,
        new_photo=new_photo,
    )  # fmt: skip


_PHOTOS = ["image", ".heic", ".heif", ".avif", ".tif", ".tiff"]  # browsers do not know what the last ones are


def _switch(*choices: str, elem_id: str) -> gr.Radio:
    return gr.Radio(
        list(choices), value=choices[0], show_label=False, container=False, elem_classes="switch", elem_id=elem_id
    )


def _fine() -> gr.Checkbox:
    return gr.Checkbox(False, label="Hair and fur: find the edge in the photo (slower)", container=False)


def _feather(label: str = "Soften the edge, px") -> gr.Slider:
    return gr.Slider(0, 30, step=0.5, label=label, buttons=[])
