"""Numbers beside pictures: of each picture, between chosen ones, and how far those of a group are apart.

Is told which pictures there are, and looks at their pixels alone: no number here needs a model. docs/measures.md
says what each means and what it cannot say.
"""

from latentpress.measures.cells import Measured, measure_cells

__all__ = ["Measured", "measure_cells"]
