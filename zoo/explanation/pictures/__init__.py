"""How explanations are drawn, one file for each kind of input; imported only where something is drawn."""

import logging

logger = logging.getLogger(__name__)

MOST_ROWS = 24  # of one picture; hundreds take minutes to draw and nobody reads them


def rows_drawn(count: int) -> int:
    """How many of `count` rows one picture shows; the log says so where it is not all of them."""
    if count > MOST_ROWS:
        logger.warning("the picture shows the first %d of %d rows; the heat has all of them", MOST_ROWS, count)
    return min(count, MOST_ROWS)
