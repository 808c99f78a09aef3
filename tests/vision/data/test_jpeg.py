"""Reading image files: Pillow's picture for every format, upright, or an error that names the file."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_images

from vision.data.jpeg import open_image, read_crop, read_image, resize
from vision.data.transforms import evaluation_crop
from zoo.errors import DataError
from zoo.records import ImagePreprocessing


@pytest.fixture(scope="module")
def photos():
    """Two photographs, 640 x 427 pixels."""
    return [Image.fromarray(image) for image in load_sample_images().images]


@pytest.fixture
def save(tmp_path):
    def write(image, name, **options):
        path = tmp_path / name
        image.save(path, **options)
        return path

    return write


def pillow(path, mode="RGB"):
    image = ImageOps.exif_transpose(Image.open(path)).convert(mode)
    return np.asarray(image)


def pixels(tensor):
    return tensor.permute(1, 2, 0).numpy().squeeze()


def difference(a, b):
    assert a.shape == b.shape
    return np.abs(a.astype(float) - b.astype(float)).mean()


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (2000, 1500), (640, 427), (1023, 769), (230, 210)])
def test_the_evaluation_crop_of_a_photograph_is_pillows(photos, save, size):
    """Fails if the decoder's scaling goes below the size needed, or the crop is shifted by a pixel."""
    for photo in photos:
        path = save(photo.resize(size, Image.Resampling.LANCZOS), "photo.jpg", quality=90)
        image = Image.open(path).convert("RGB")
        scale = 256 / min(image.size)
        width, height = int(image.width * scale + 1e-6), int(image.height * scale + 1e-6)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        left, top = round((width - 224) / 2), round((height - 224) / 2)
        expected = np.asarray(image.crop((left, top, left + 224, top + 224)))
        ours = evaluation_crop(open_image(path), ImagePreprocessing())
        assert ours.is_contiguous()
        assert difference(pixels(ours), expected) < 1.0


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("size", [(100, 150), (500, 900)])
def test_resize_is_pillows(photos, interpolation, size):
    image = torch.from_numpy(np.array(photos[0])).permute(2, 0, 1)
    method = Image.Resampling[interpolation.upper()]
    expected = np.asarray(photos[0].resize((size[1], size[0]), method))
    for layout in (image, image.contiguous()):  # torch and Pillow round ties of "nearest" in their own ways
        ours = pixels(resize(layout, size, interpolation=interpolation))
        assert difference(ours, expected) < (0.5 if interpolation == "nearest" else 0.1)
    assert torch.equal(
        resize(image[None], size, interpolation=interpolation)[0], resize(image, size, interpolation=interpolation)
    )


@pytest.mark.parametrize("name", ["photo.jpg", "photo.png", "photo.webp", "photo.tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(photos, save, name, orientation):
    """Fails if a rotation goes the wrong way, or the header's size is not turned with the picture."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(photos[0].crop((0, 0, 200, 120)), name, exif=exif)
    assert difference(pixels(read_image(path)), pillow(path)) < 0.5
    image = open_image(path)
    assert (image.height, image.width) == ((200, 120) if orientation >= 5 else (120, 200))
    small = image.decode(channels=3, shrink=2)
    assert (small.shape[1] > small.shape[2]) == (orientation >= 5)


def test_metadata_behind_another_segment_is_found(photos, save):
    """Fails if EXIF is looked for right after the start of the file only."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(photos[0], "photo.jpg", exif=exif)
    data = path.read_bytes()
    comment = b"\xff\xfe" + (1000).to_bytes(2, "big") + b"x" * 998
    path.write_bytes(data[:2] + comment + b"\xff" + data[2:])
    assert open_image(path).height == 640


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("mode", "name"),
    [
        ("L", "a.jpg"),
        ("L", "a.png"),
        ("1", "a.png"),
        ("P", "a.png"),
        ("P", "a.gif"),
        ("RGB", "a.bmp"),
        ("CMYK", "a.jpg"),
        ("CMYK", "a.tif"),
        ("YCbCr", "a.tif"),
    ],
)
def test_every_colour_mode_is_read_as_pillow_reads_it(photos, save, mode, name, channels):
    path = save(photos[0].convert(mode), name)
    tensor = read_image(path, channels=channels)
    assert tensor.shape == (channels, 427, 640)
    assert tensor.dtype == torch.uint8
    assert difference(pixels(tensor), pillow(path, "RGB" if channels == 3 else "L")) < 0.6


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_transparency_is_shown_on_white(save, mode):
    """Fails if alpha is dropped: what hides under transparent pixels, here black, would come out."""
    image = Image.new("RGBA", (8, 4), (0, 0, 0, 255))
    image.paste((0, 0, 0, 0), (4, 0, 8, 4))
    if mode == "P":
        grey = Image.new("P", (8, 4), 0)
        grey.putpalette([0, 0, 0, 9, 9, 9])
        grey.paste(1, (4, 0, 8, 4))
        path = save(grey, "a.png", transparency=1)
    else:
        path = save(image.convert(mode) if mode != "PA" else image.convert("LA"), "a.png")
    for channels in (1, 3):
        tensor = read_image(path, channels=channels)
        assert (tensor[:, :, :4] == 0).all()
        assert (tensor[:, :, 4:] == 255).all()


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_sixteen_bit_grey_keeps_its_range(tmp_path, name):
    """Fails if 16 bits are clipped to 8: all above 255 of 65535 would be white."""
    values = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(values).save(tmp_path / name)
    expected = np.round(values / 257).astype(np.uint8)
    assert np.abs(pixels(read_image(tmp_path / name, channels=1)).astype(int) - expected).max() <= 1
    assert read_image(tmp_path / name).shape == (3, 8, 8)


def test_pixels_of_unknown_range_are_refused(tmp_path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "float.tif")
    Image.fromarray(np.full((4, 4), 70000, np.int32)).save(tmp_path / "int.tif")
    with pytest.raises(DataError, match=r"float.tif holds floating point"):
        read_image(tmp_path / "float.tif")
    with pytest.raises(DataError, match=r"int.tif holds 32-bit"):
        read_image(tmp_path / "int.tif")


def test_the_shorter_side_is_as_asked(photos, save):
    path = save(photos[0], "photo.jpg", quality=90)
    for side in (50, 100, 427, 600):
        tensor = read_image(path, shorter_side=side)
        assert tensor.shape == (3, side, int(side * 640 / 427 + 1e-6))
        reference = Image.open(path).resize((tensor.shape[2], side), Image.Resampling.BILINEAR)
        assert difference(pixels(tensor), np.asarray(reference)) < 1.5


@pytest.mark.parametrize(("shrink", "factor"), [(1, 1), (2, 1), (2.7, 1), (3, 2), (5.5, 2), (6, 4), (12, 8), (99, 8)])
def test_decoding_leaves_a_margin_to_the_resize(photos, save, shrink, factor):
    image = open_image(save(photos[0], "photo.jpg"))
    assert image.decode(channels=3, shrink=shrink).shape[1] == -(-427 // factor)


@pytest.mark.parametrize("size", [(17, 23), (31, 53), (53, 79), (71, 107), (107, 160), (151, 226)])
def test_scaled_decoding_is_pillows_at_every_size(photos, save, size):
    """Fails if the partial last row of a scaled picture is taken as a whole one, which shifts all of it: 2 to 5 grey
    levels, or if there is no margin: 3.
    """
    for photo in photos:
        path = save(photo, "photo.jpg", quality=90)
        ours = open_image(path).resized(size, channels=3, interpolation="bilinear")
        reference = Image.open(path).resize((size[1], size[0]), Image.Resampling.BILINEAR)
        assert difference(pixels(ours), np.asarray(reference)) < 1.5


def test_a_crop_is_of_the_place_asked(photos, save):
    """Fails if the box is not scaled with the decoder's reduction."""
    path = save(photos[0].resize((1600, 1200)), "photo.jpg", quality=95)
    ours = read_crop(open_image(path), (300, 500, 600, 800), (60, 80), channels=3, interpolation="bilinear")
    reference = Image.open(path).crop((500, 300, 1300, 900)).resize((80, 60), Image.Resampling.BILINEAR)
    assert difference(pixels(ours), np.asarray(reference)) < 2
    corner = read_crop(open_image(path), (1199.7, 1599.7, 0.3, 0.3), (4, 4), channels=1, interpolation="bilinear")
    assert corner.shape == (1, 4, 4)


def spoiled(kind, photo):
    buffer = io.BytesIO()
    photo.save(buffer, "PNG" if "png" in kind else "JPEG")
    data = buffer.getvalue()
    return {
        "empty.jpg": b"",
        "text.jpg": b"no picture at all",
        "zeros.png": bytes(1000),
        "head.jpg": data[:20],
        "half.jpg": data[: len(data) // 2],
        "half.png": data[: len(data) // 2],
        "flipped.png": data[:200] + bytes(64) + data[264:],
        "header.jpg": b"\xff\xd8\xff",
    }[kind]


@pytest.mark.parametrize(
    "kind", ["empty.jpg", "text.jpg", "zeros.png", "head.jpg", "half.jpg", "half.png", "flipped.png", "header.jpg"]
)
def test_unusable_files_are_named(tmp_path, photos, kind):
    """Fails if a truncated JPEG comes out half grey."""
    path = tmp_path / kind
    path.write_bytes(spoiled(kind, photos[0]))
    for side in (None, 32):
        with pytest.raises(DataError, match=kind):
            read_image(path, shorter_side=side)


def test_missing_files_folders_and_forbidden_files_are_named(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"none.jpg cannot be read: No such file"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_image(tmp_path)

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(DataError, match=r"secret.jpg cannot be read: Permission denied"):
        read_image(tmp_path / "secret.jpg")


def test_a_jpeg_with_stray_bytes_is_read_all_the_same(photos, save):
    """Fails if the fast decoder's strictness is the last word: many photographs of the web are so."""
    path = save(photos[0], "photo.jpg")
    data = path.read_bytes()
    path.write_bytes(data[:-2] + b"\x00\x00\x00\x00" + data[-2:] + b"trailing")
    assert difference(pixels(read_image(path)), pillow(path)) < 0.5
