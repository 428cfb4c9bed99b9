from pathlib import Path

from lit_gans.loading import Device
from lit_gans.photos import Format
from lit_gans.verbs.translate import translate_files


def upscale(
    run: Path,
    images: Path,
    *,
    output: Path,
    format: Format = "keep",
    tile: int | None = 256,
    overlap: int | None = None,
    device: Device = "auto",
) -> None:
    """Enlarges photos of any size by a trained super-resolution model, by the factor that it was trained for.

    They are turned as their EXIF says, laid over white where they are transparent, and keep their names and ICC
    profile; models of grey images see and make grey ones. Large ones are enlarged in tiles, which fade into each other,
    so that memory holds the photo and what is made of it as bytes, and the network's maps of one tile.

    Args:
        run: Run directory (its best checkpoint, else its last one) or checkpoint file.
        images: A photo (jpg, png, webp, bmp), or a folder or zip of photos; sub-folders are kept.
        output: A folder; for a single photo also the name of a file.
        format: Of the files; lossy ones are written at quality 95.
        tile: Side of the tiles in pixels of the photo; null for whole photos.
        overlap: Of neighbouring tiles in pixels of the photo; by default an eighth of a tile.
        device: auto takes a GPU if there is one.
    """
    translate_files(run, images, output, format, device, tile=tile, overlap=overlap, larger=True)
