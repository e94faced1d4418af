"""The old path `micrograd_cn.schedules`, which learning-rate schedules pickled by version 0.2 refer to."""

from micrograd_cn.optim.schedules import cosine_lr as cosine_lr
from micrograd_cn.optim.schedules import linear_lr as linear_lr
from micrograd_cn.optim.schedules import step_lr as step_lr
from micrograd_cn.optim.schedules import warmup as warmup
