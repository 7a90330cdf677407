"""Reduce a picture to a paper colour and at most a handful of flat colours, one label per pixel."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Floats = NDArray[np.float64]
Labels = NDArray[np.int32]

PAPER_WITHIN = 40.0  # distances in RGB, where black and white are 441 apart
SAME_COLOUR_WITHIN = 80.0
PEAK_WITHIN = 14.0
SMALLEST_SHARE = 0.0015


def flattened(picture: Image.Image, most_colours: int) -> tuple[Floats, Labels]:
    """The colours of an RGB picture, farthest from the paper first; per pixel 0 for paper or 1 + its colour's index."""
    pixels = np.asarray(picture, dtype=float)
    paper = _paper(pixels)
    contrast = np.sqrt(((pixels - paper) ** 2).sum(axis=2))
    painted = contrast > PAPER_WITHIN
    highest = Image.fromarray(contrast.astype(np.float32)).filter(ImageFilter.MaxFilter(3))
    # The inside of a stroke or a shape, not the blend of colours along its edge.
    peaks = painted & (contrast >= np.asarray(highest) - PEAK_WITHIN)
    colours = _colours(pixels[peaks], most_colours)
    colours = colours[np.argsort(-((colours - paper) ** 2).sum(axis=1), kind="stable")]
    labels = np.full(contrast.shape, -1, np.int32)
    labels[~painted] = 0
    if len(colours):
        labels[peaks] = 1 + _nearest(pixels[peaks], colours)
        _settle_edges(labels, pixels, np.vstack([paper, colours]))
    return colours, labels


def _paper(pixels: Floats) -> Floats:
    """The commonest colour along the picture's border."""
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    bins = _bins(border, 16)
    mean: Floats = border[bins == np.bincount(bins).argmax()].mean(axis=0)
    return mean


def _bins(pixels: Floats, step: int) -> NDArray[np.int64]:
    """One number for all pixels whose channels are about the same."""
    coarse = pixels.astype(np.int64) // step
    number: NDArray[np.int64] = coarse @ np.array([65536, 256, 1])
    return number


def _colours(pixels: Floats, most: int) -> Floats:
    """The commonest colours that clearly differ from each other."""
    if not len(pixels):
        return np.zeros((0, 3))
    _, member, counts = np.unique(_bins(pixels, 24), return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(member, pixels[:, channel]) for channel in range(3)], axis=1)
    means = sums / counts[:, None]
    chosen: list[Floats] = []
    for index in np.argsort(-counts, kind="stable"):
        apart = all(np.hypot.reduce(means[index] - colour) > SAME_COLOUR_WITHIN for colour in chosen)
        if apart and (counts[index] >= SMALLEST_SHARE * len(pixels) or not chosen):
            chosen.append(means[index])
        if len(chosen) == most:
            break
    colours = np.array(chosen)
    nearest = _nearest(means, colours)
    # The commonest bin of each colour: a mean would be greyed by stray blends.
    for number in range(len(colours)):
        mine = np.flatnonzero(nearest == number)
        colours[number] = means[mine[counts[mine].argmax()]]
    return colours


def _nearest(pixels: Floats, colours: Floats) -> NDArray[np.int32]:
    """For each pixel the number of the colour closest to it."""
    distances = [((pixels - colour) ** 2).sum(axis=-1) for colour in colours]
    nearest: NDArray[np.int32] = np.argmin(distances, axis=0).astype(np.int32)
    return nearest


def _settle_edges(labels: Labels, pixels: Floats, colours: Floats) -> None:
    """Give each blended pixel the label beside it whose colour is nearest: a blend is no colour of its own."""
    for _ in range(6):
        open_y, open_x = np.nonzero(labels < 0)
        if not len(open_y):
            return
        padded = np.pad(labels, 1, constant_values=-1)
        best = np.full(len(open_y), np.inf)
        chosen = np.full(len(open_y), -1, np.int32)
        for dy in (0, 1, 2):
            for dx in (0, 1, 2):
                beside = padded[open_y + dy, open_x + dx]
                distance = ((pixels[open_y, open_x] - colours[beside]) ** 2).sum(axis=1)
                better = (beside >= 0) & (distance < best)
                best[better], chosen[better] = distance[better], beside[better]
        labels[open_y, open_x] = chosen
    labels[labels < 0] = 0
