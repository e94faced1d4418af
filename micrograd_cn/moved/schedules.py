"""Pickled learning-rate schedules of version 0.2 name `micrograd_cn.schedules`."""

from micrograd_cn.optim.schedules import cosine_lr as cosine_lr
from micrograd_cn.optim.schedules import linear_lr as linear_lr
from micrograd_cn.optim.schedules import step_lr as step_lr
from micrograd_cn.optim.schedules import warmup as warmup
