"""Causal linear attention: one signature, several implementations.

Katharopoulos, Vyas, Pappas & Fleuret 2020, "Transformers are RNNs: Fast Autoregressive Transformers with
Linear Attention" (arXiv:2006.16236), sections 3.2 to 3.4. A feature map phi(x) = elu(x) + 1 (`feature_map`)
replaces softmax, after which the causal model is at once a transformer, trained in parallel, and a
recurrent network whose whole past is one `State`::

    s_t = g s_{t-1} + phi(k_t) v_t^T                    [d_k, d_v]
    z_t = g z_{t-1} + phi(k_t)                          [d_k]
    y_t = phi(q_t)^T s_t / (phi(q_t)^T z_t + EPS)       [d_v]

The paper has no decay (g = 1); one below 1 bounds s and z on streams of hours.

`causal_linear_attention(q, k, v, decay=, state=, lengths=, backend=)` runs it by one of `BACKENDS`:

triton      The default for CUDA tensors: the same in chunks, as CUDA kernels written in Triton, which come with torch
            and compile when first run.
chunked     The default for others: matrix products in chunks of frames, gradients derived by hand, memory linear
            in the time; any device.
quadratic   The masked [time, time] matrix: the reference of the tests, and the form to export to ONNX, with
            the fewest operations for the few frames of a streaming step.
recurrent   A frame at a time, the equations as they stand: to read, and to check the others with.

`linear_attention(q, k, v, lengths=)` attends over the full context, past and future.
"""

from .api import BACKENDS, causal_linear_attention
from .feature_map import feature_map
from .full import linear_attention
from .state import EPS, State

__all__ = ["BACKENDS", "EPS", "State", "causal_linear_attention", "feature_map", "linear_attention"]
