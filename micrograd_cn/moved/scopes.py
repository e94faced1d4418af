"""Pickled networks of version 0.2 name `micrograd_cn.scopes`."""

from micrograd_cn.graph.groups import Group as Group
