"""Names for the array types that pass between the parts of a stream."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float32]
AnyArray: TypeAlias = NDArray[Any]
