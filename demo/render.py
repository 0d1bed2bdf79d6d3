"""A session as updates of the page's components. The only place that decides what is visible when."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from demo import overlay, studio
from demo.page import Page
from demo.session import Session
from demo.stage import show_layer, show_photo
from pipeline.edges import default_feather_px
from pipeline.edit import default_grow_px
from segment import Click, Mask
from segment.mask_ops import box_xyxy, grow

Updates = dict[Any, Any]  # component -> its update

# style.css shows the one that fits the switch, which the browser turns without asking the server.
_INVITATION = (
    "<p class='if-click'><strong>Click what should go.</strong> If a click does not get it, take the brush.</p>"
    "<p class='if-brush'><strong>Paint over what should go.</strong> It need not be exact.</p>"
)
_DONE = {
    "erased": "It is gone.",
    "cut-out": "Cut out.",
    "blurred": "The background is blurred.",
    "replaced": "The background is replaced.",
}


def whole(page: Page, session: Session | None) -> Updates:
    """Everything: after a new photo, an effect, or a step back over one."""
    if session is None:
        return {
            page.landing: gr.update(visible=True),
            page.workspace: gr.update(visible=False),
            page.new_photo: gr.update(visible=False),
            page.upload: None,
        }
    outcome = session.before is not None
    updates: Updates = {
        page.landing: gr.update(visible=False),
        page.workspace: gr.update(visible=True),
        page.new_photo: gr.update(visible=True),
        page.upload: None,
        page.tools: gr.update(visible=not outcome),
        page.outcome: gr.update(visible=outcome),
        **_sliders(page, session),
        **selection(page, session),
    }
    picture = show_photo(
        session.shown, studio.screen_profile(session.photo), before=session.before, split=_split(session)
    )
    updates[page.stage] = gr.update(**picture, **_layer(session, session.mask()))
    if outcome:
        updates |= _outcome(page, session)
    return updates


def selection(page: Page, session: Session) -> Updates:
    """What a click, a stroke or a step among them changes: the layer, the hint, the buttons, how far to grow."""
    mask = session.mask()
    guesses = len(session.answers)
    return {
        page.stage: gr.update(**_layer(session, mask)),
        page.hint: _hint(session, mask),
        page.undo: gr.update(interactive=bool(session.past)),
        page.clear: gr.update(interactive=mask is not None),
        page.another: gr.update(
            interactive=guesses > 1, value=f"Guess {session.choice + 1} of {guesses}" if guesses > 1 else "Other guess"
        ),
        **_grow_sliders(page, session, mask),
        **{
            button: gr.update(interactive=mask is not None)
            for button in (page.erase, page.cut, page.blur, page.replace)
        },
    }


def _grow_px(session: Session, mask: Mask | None) -> int:
    if session.grow_px is not None or mask is None:
        return session.grow_px or 0
    return default_grow_px(mask)


def _split(session: Session) -> float:
    """Where before and after meet at first: in the middle of what was selected, so that the change is seen at once."""
    mask = session.past[-1].mask() if session.before is not None and session.past else None
    if mask is None:
        return 0.5
    x0, _, x1, _ = box_xyxy(mask)
    return (x0 + x1) / 2 / mask.shape[1]


def _grow_sliders(page: Page, session: Session, mask: Mask | None) -> Updates:
    grow_px = _grow_px(session, mask)
    most = max(40, min(session.photo.hw) // 8, grow_px)
    return {
        page.grow: gr.update(value=grow_px, maximum=most),
        page.erase_feather: gr.update(value=round(grow_px / 3), maximum=most // 2),
    }


def _layer(session: Session, mask: Mask | None) -> dict[str, Any]:
    view = session.view
    if mask is None and not session.clicks:
        return show_layer(None)
    seen = None if mask is None else view.show_mask(mask)
    ring = None if seen is None or mask is None else grow(seen, round(_grow_px(session, mask) * view.scale))
    answer = session.answer
    return show_layer(
        overlay.selection_layer(
            view.view_hw,
            seen,
            clicks=[Click(*view.to_view(click.x, click.y), click.positive) for click in session.clicks],
            label=overlay.caption(answer.label, answer.score) if answer else None,
            grown=ring,
            unit_px=session.unit_px,
        )
    )


def _hint(session: Session, mask: Mask | None) -> str:
    if session.before is not None:
        text, more = _DONE.get(session.made_by or "", "Done."), "Drag the handle to compare."
    elif mask is None:
        return _INVITATION
    else:
        name = (session.answer.label if session.answer else None) or "Object"
        text = f"{name[:1].upper()}{name[1:]} selected."
        more = "Erase it, or click what else belongs to it."
    return f"<p><strong>{escape(text)}</strong> {escape(more)}</p>"


def _sliders(page: Page, session: Session) -> Updates:
    """Ranges and values that depend on the photo's size alone."""
    shorter = min(session.photo.hw)
    feather_px = default_feather_px(session.photo.hw)
    feather: dict[str, Any] = {"maximum": max(10, round(shorter / 50)), "value": round(2 * feather_px) / 2}
    return {
        **{slider: gr.update(**feather) for slider in (page.cut_feather, page.blur_feather, page.replace_feather)},
        page.blur_sigma: gr.update(maximum=max(20, shorter // 10), value=max(1, round(shorter / 40))),
    }


def _outcome(page: Page, session: Session) -> Updates:
    suffixes = studio.formats(session.photo, session.name)
    kind = suffixes[-1].lstrip(".").upper().replace("JPG", "JPEG")
    return {
        page.own: gr.update(visible=len(suffixes) > 1, value=kind),
    }
