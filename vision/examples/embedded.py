"""The images that come with the package, for demos and examples without a network, and a simple baseline on them."""

from pathlib import Path

from zoo.data import Source

FASHION_MNIST = Path(__file__).parent / "data" / "fashion_mnist_3500.npz"
"""3,500 images of ten kinds of clothing: 2,000 to train, 500 to validate, 1,000 to test. See data/README.md."""


def linear_baseline(train: Source, test: Source) -> float:
    """Accuracy on `test`, 0..1, of logistic regression on the pixels of `train`, without augmentation."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def rows(source: Source) -> tuple[list[object], list[object]]:
        plain = getattr(source, "unaugmented", lambda: source)()
        inputs: list[object] = []
        targets: list[object] = []
        for images, labels in plain.batches(batch_size=256):
            inputs += list(images[:, :1, ::2, ::2].flatten(1).numpy())  # one channel, every second pixel
            targets += labels.tolist()
        return inputs, targets

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    return float(model.fit(*rows(train)).score(*rows(test)))
