"""Views of clips: turned in time within their own lengths."""

import torch

from audio.data.clips import ClipBatch
from audio.data.views import shifted, shifts


def test_shifts_by_hand():
    """Fails if padding is turned into the clip, or earlier and later are swapped."""
    clips = ClipBatch(torch.tensor([[1.0, 2, 3, 4, 0, 0], [1.0, 2, 3, 4, 5, 6]]), torch.tensor([4, 6]))
    later = shifted(clips, share=0.25)
    assert later.waveforms.tolist() == [[4, 1, 2, 3, 0, 0], [5, 6, 1, 2, 3, 4]]
    assert later.lengths.tolist() == [4, 6]
    assert torch.equal(shifted(later, share=-0.25).waveforms, clips.waveforms)


def test_views_are_the_clip_and_both_ways():
    waveforms = torch.randn(2, 40)
    first, earlier, later = (view.change(waveforms) for view in shifts())
    assert torch.equal(first.waveforms, waveforms)
    assert torch.equal(earlier.waveforms, waveforms.roll(-4, 1))
    assert torch.equal(later.waveforms, waveforms.roll(4, 1))
    one = shifted(torch.ones(3, 1), share=0.1)
    assert torch.equal(one.waveforms, torch.ones(3, 1))
