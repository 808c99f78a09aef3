"""Native image classifiers, one file for each paper.

Every class here takes keyword arguments only, `num_classes` and `in_channels` among them, maps images [B, C, H, W] to
logits [B, num_classes], and gives its maps by `forward_features` and `feature_info` (`zoo.features`), of which the
head sees the last. The layer that fine-tuning replaces is named by `classifier`, a dotted path, or is the last linear
layer of the submodule `classifier` where the canonical checkpoint has one, as AlexNet's and VGG's do.
"""
