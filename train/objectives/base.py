"""What an objective is."""

# No postponed annotations: jsonargparse looks for their names in the modules of the subclasses.
from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor

from train.codecs.reading import HEAD_DECODERS, HeadName, ReadingName, read
from train.targets.label_smoothing import ImageAware
from train.targets.labels import Isotropic, Labels, Smoothing

READING = ("decoder", "temperature", "window")
"""Options of objectives that say how maps are read. No objective learns from them; the term consistency does."""
Loss = Callable[[Tensor], Tensor]
"""One stack's maps (N, K, H, W) to every landmark's loss (N, K)."""


class Objective(ABC):
    """The base of objectives.

    Attributes:
        window: side in cells of the decoder's window.
        decoder: how points are read.
        smoothing: the distribution of labels; None for the labels alone.
        likelihood: whether maps are learned as the logits of a distribution, so that a temperature can be fitted to
            them.
        even_stacks: whether all stacks weigh alike, else 1, 2, 4 ... over the last one's weight.
    """

    window: int
    decoder: ReadingName = "local_softmax"
    smoothing: Smoothing | None = None
    likelihood = False
    even_stacks = False

    @property
    def needs_edges(self) -> bool:
        """Whether Labels must hold edge maps."""
        return isinstance(self.smoothing, ImageAware)

    @property
    def label_cells(self) -> float:
        """Width in cells of the Gaussians that the maps are learned from, which DARK blurs with; 0.9 without any."""
        return self.smoothing.sigma_cells if isinstance(self.smoothing, Isotropic) else Isotropic().sigma_cells

    @property
    def head(self) -> HeadName | None:
        """The head of train.models.heads that the net must have; None for none."""
        return self.decoder if self.decoder in HEAD_DECODERS else None

    @abstractmethod
    def loss_for(self, labels: Labels) -> Loss:
        """Return the loss of a batch; what its stacks share is made once.

        Args:
            labels: of the batch.
        """

    def head_loss_for(self, labels: Labels, maps: Tensor) -> Loss:
        """Return the loss (N, K) of what the net's head answers.

        Args:
            labels: of the batch.
            maps: (N, K, H, W) of the last stack.

        Raises:
            NotImplementedError: if the objective has no head.
        """
        raise NotImplementedError(f"{type(self).__name__} learns from maps alone")

    def logits(self, maps: Tensor) -> Tensor:
        """Return maps (N, K, H, W) as logits for the decoder."""
        return maps

    def read(
        self, logits: Tensor, head_output: Tensor | None, stride: int, decoder: ReadingName | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Decode maps, as train.codecs.reading.read.

        Args:
            logits: (N, K, H, W).
            head_output: the head's answer; None without a head.
            stride: pixels per cell.
            decoder: None for the objective's own.

        Returns:
            Points (N, K, 2) in pixels of the crop, scores (N, K), covariances (N, K, 3).
        """
        return read(decoder or self.decoder, logits, head_output, stride, self.window, self.label_cells)
