"""The old path `micrograd_cn.scopes`, which networks pickled by version 0.2 refer to."""

from micrograd_cn.graph.groups import Group as Group
