"""What counts as an image file, for the readers of folders and tables of images."""

from zoo.data.listing import FileKind

EXTENSIONS = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
)
IMAGES = FileKind(
    one="image",
    many="images",
    extensions=EXTENSIONS,
    layout="Expected one sub-folder per class, or train/ and val/ with class folders in them, or a .csv or .npz file.",
)
