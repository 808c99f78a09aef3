"""Semantic segmentation: one class for each pixel.

One file is one paper or idea. A model takes images [B, C, H, W] and gives logits [B, num_classes, H, W], or less at the
borders where its convolutions are not padded; then it says how many pixels, as `margin`.
"""
