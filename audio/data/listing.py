"""What counts as a sound file, for the readers of folders, tables and patterns of sounds."""

from zoo.data.listing import FileKind

EXTENSIONS = frozenset((".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf"))
SOUNDS = FileKind(
    one="sound file",
    many="sound files",
    extensions=EXTENSIONS,
    layout="Expected one sub-folder per class, or train/ and val/ with class folders in them, or a .csv file, or files "
    'whose names say their class and pattern="{label}_{speaker}_{index}.wav".',
)
