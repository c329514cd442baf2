"""View types of streams: which carry the images that rows are made of. Needs no SDK of AWS."""

from typing import Literal

from replicator.errors import StreamUnfit

ViewType = Literal["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"]
FIT_VIEW_TYPES = ("NEW_IMAGE", "NEW_AND_OLD_IMAGES")


def require_new_images(table: str, view_type: str | None) -> None:
    """StreamUnfit, with the remedy, for a stream of the table that carries no new images."""
    if view_type in FIT_VIEW_TYPES:
        return
    message = f"the stream of {table!r} carries {view_type}: rows cannot be made without new images"
    raise StreamUnfit(
        message,
        remedy="disable the stream, then enable it again (the view type of a stream cannot be "
        f"changed): {how_to_enable(table)}",
    )


def how_to_enable(name: str) -> str:
    """The command that enables a stream with both images."""
    return (
        f"aws dynamodb update-table --table-name {name} "
        "--stream-specification StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES"
    )
