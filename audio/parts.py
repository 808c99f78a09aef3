"""What sound adds to the parts of the toolkit, as data: views of test clips."""

from zoo.parts.table import Part, PartTable

VIEWS = PartTable(
    "sound view",
    Part("shifts", "audio.data.views:shifts", "own", "test-time augmentation by clips turned back and forth in time"),
)
