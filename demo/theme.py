"""How the page looks: Gradio's plain theme in one colour, with the fonts that are on the visitor's machine."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif")
_MONO_FONTS = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def theme() -> gr.themes.Base:
    """The theme. No font is fetched: a page on a machine without network looks the same."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.indigo,
        neutral_hue=gr.themes.colors.zinc,
        radius_size=gr.themes.sizes.radius_lg,
        font=[gr.themes.Font(name) for name in _FONTS],
        font_mono=[gr.themes.Font(name) for name in _MONO_FONTS],
    ).set(
        body_background_fill="#fafafa",
        body_background_fill_dark="#131316",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_padding="0",
        block_shadow="none",
        button_primary_background_fill="*primary_500",
        button_primary_background_fill_hover="*primary_600",
        button_primary_background_fill_dark="*primary_500",
        button_primary_background_fill_hover_dark="*primary_400",
        button_primary_text_color="white",
        button_secondary_background_fill="white",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_background_fill_hover_dark="*neutral_700",
        button_secondary_border_color="*neutral_200",
        button_secondary_border_color_dark="*neutral_700",
        button_border_width="1px",
        slider_color="*primary_500",
        slider_color_dark="*primary_400",
        input_background_fill_dark="*neutral_800",
    )


def css() -> str:
    """The page's own style sheet."""
    return Path(__file__).with_name("style.css").read_text(encoding="utf-8")


# A round cursor's click, in the page's colour; inside the page, so that no file has to be served.
HEAD = (
    "<link rel='icon' href=\"data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'>"
    "<rect width='32' height='32' rx='8' fill='%236366f1'/>"
    "<circle cx='16' cy='16' r='8' fill='none' stroke='white' stroke-width='2.5' stroke-dasharray='3.4 2.9'/>"
    "<circle cx='16' cy='16' r='2.5' fill='white'/></svg>\">"
)
MARK = (
    "<svg class='ca-mark' viewBox='0 0 32 32' aria-hidden='true'><rect width='32' height='32' rx='8' fill='#6366f1'/>"
    "<circle cx='16' cy='16' r='8' fill='none' stroke='#fff' stroke-width='2.5' stroke-dasharray='3.4 2.9'/>"
    "<circle cx='16' cy='16' r='2.5' fill='#fff'/></svg>"
)
