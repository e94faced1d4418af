"""Simulations, energies and Jacobians of physics and engineering."""

from typing import Any

import numpy as np

from .cases import Case, generator

rng = generator()


def _accelerations(m: Any, a: Any, b: Any, u: Any, v: Any) -> Any:
    """The accelerations of a double pendulum with equal masses and lengths of 1."""
    s, c = m.sin(a - b), m.cos(a - b)
    f = -9.81 * 2.0 * m.sin(a) - s * (v * v + u * u * c) - 9.81 * m.sin(b) * -c
    g = 2.0 * s * u * u - 9.81 * 2.0 * (m.sin(b) - m.sin(a) * c) + s * c * v * v
    return f / (2.0 - c * c), g / (2.0 - c * c)


def pendulum_step(m: Any, p: Any, state: Any) -> Any:
    """The state of a double pendulum after a step of Runge and Kutta's method."""

    def slope(q: Any) -> Any:
        return [q[2], q[3], *_accelerations(m, *q)]

    h, q = 0.01, [state[k] for k in range(4)]
    k1 = slope(q)
    k2 = slope([x + h / 2 * k for x, k in zip(q, k1, strict=True)])
    k3 = slope([x + h / 2 * k for x, k in zip(q, k2, strict=True)])
    k4 = slope([x + h * k for x, k in zip(q, k3, strict=True)])
    return [x + h / 6 * (a + 2 * b + 2 * c + d) for x, a, b, c, d in zip(q, k1, k2, k3, k4, strict=True)]


def pendulum_energy(m: Any, p: Any, q: Any) -> Any:
    a, b, u, v = (q[k] for k in range(4))
    return u * u + 0.5 * v * v + u * v * m.cos(a - b) - 9.81 * (2.0 * m.cos(a) + m.cos(b))


def orbit(m: Any, p: Any, velocity: Any) -> Any:
    """The squared distance by which a probe misses its target after 50 steps."""
    h = 0.02

    def step(state: Any) -> Any:
        x, y, u, v = state
        r = m.sqrt(x * x + y * y)
        u, v = u - h * x / (r * r * r), v - h * y / (r * r * r)
        return x + h * u, y + h * v, u, v

    x, y, _, _ = m.repeat(50, step, (1.0, 0.0, velocity[0], velocity[1]))
    return (x + 0.5) ** 2 + (y - 0.8) ** 2


def chain_of_springs(m: Any, p: Any, q: Any) -> Any:
    """The energy of 30 masses, each with two coordinates, in a chain of springs under gravity."""
    x, y = q[:30], q[30:]
    dx, dy = x[1:] - x[:-1], y[1:] - y[:-1]
    stretch = m.sqrt(dx * dx + dy * dy) - 0.1
    return 50.0 * (stretch * stretch).sum() + y.sum() + 50.0 * (x[0] ** 2 + y[0] ** 2 + (x[29] - 3.0) ** 2 + y[29] ** 2)


def lennard_jones(m: Any, p: Any, q: Any) -> Any:
    """The energy of eight atoms."""
    energy = 0.0
    for i in range(8):
        for j in range(i):
            d = [q[3 * i + k] - q[3 * j + k] for k in range(3)]
            s = 1.0 / (d[0] * d[0] + d[1] * d[1] + d[2] * d[2]) ** 3
            energy = energy + 4.0 * (s * s - s)
    return energy


def burgers(m: Any, p: Any, u: Any) -> Any:
    """The sum of the squared differences of neighbouring cells after 20 steps of Burgers' equation in 32 cells."""

    def step(u: Any) -> Any:
        left, right = m.roll(u, 1), m.roll(u, -1)
        return u - 0.05 * u * (u - left) + 0.02 * (right - 2.0 * u + left)

    u = m.repeat(20, step, u)
    return ((u - m.roll(u, 1)) ** 2).sum()


def diodes(m: Any, p: Any, v: Any) -> Any:
    """The sum of the currents at each of three nodes of a circuit with two diodes, which must be 0."""
    a, b, c = v[0], v[1], v[2]
    return [
        (a - 5.0) / 100.0 + 1e-9 * m.expm1((a - b) / 0.026),
        1e-9 * m.expm1((b - a) / -0.026) - (b - c) / 47.0,
        (c - b) / 47.0 + 1e-9 * m.expm1(c / 0.026),
    ]


def attitude(m: Any, p: Any, s: Any) -> Any:
    """The time derivatives of the attitude (a quaternion) and the spin of a rigid body."""
    a, b, c, d, u, v, w = (s[k] for k in range(7))
    return [
        -0.5 * (b * u + c * v + d * w),
        0.5 * (a * u + c * w - d * v),
        0.5 * (a * v - b * w + d * u),
        0.5 * (a * w + b * v - c * u),
        (2.0 - 3.0) / 1.0 * v * w,
        (3.0 - 1.0) / 2.0 * u * w,
        (1.0 - 2.0) / 3.0 * u * v,
    ]


def lens(m: Any, p: Any, height: Any) -> Any:
    """The squared distance from the axis at which a ray that enters at `height` meets the screen of a lens system.

    There are three refracting surfaces.
    """
    y, slope = height, 0.0 * height
    for k in range(3):
        normal = m.asin(y * p["curvatures"][k])
        ratio = (1.0 / 1.5, 1.5 / 1.6, 1.6)[k]
        slope = m.tan(m.asin(ratio * m.sin(m.atan(slope) + normal)) - normal)
        y = y + slope * p["distances"][k]
    return y * y


def van_der_pol(m: Any, p: Any, mu: Any) -> Any:
    def step(state: Any) -> Any:
        x, v = state
        return x + 0.05 * v, v + 0.05 * (mu * (1.0 - x * x) * v - x)

    return m.repeat(100, step, (1.0, 0.0))[0]


def cases() -> list[Case]:
    """Return the programs."""
    states = rng.normal(size=(1000, 4))
    line = np.concatenate([np.linspace(0.0, 3.0, 30), np.full(30, -0.2)])[None]
    atoms = np.array([[x, y, z] for x in (0.0, 1.2) for y in (0.0, 1.1) for z in (0.0, 1.3)]).reshape(1, 24)
    lenses = {"curvatures": np.array([0.02, -0.015, 0.01]), "distances": np.array([3.0, 2.0, 40.0])}
    return [
        Case("double pendulum, Jacobian of a step", pendulum_step, {}, (states[:1],), "jacobian"),
        Case("the same, 1,000 states", pendulum_step, {}, (states,), "jacobian"),
        Case("energy of 1,000 double pendulums", pendulum_energy, {}, (states,), "each"),
        Case("aiming at a target, 50 steps", orbit, {}, (np.array([[0.1, 1.0]]),), "each"),
        Case("chain of 30 masses, forces", chain_of_springs, {}, (line,), "each"),
        Case("eight atoms, forces", lennard_jones, {}, (atoms,), "each"),
        Case("Burgers' equation, 32 cells, 20 steps", burgers, {}, (np.sin(np.arange(32) / 5.0)[None],), "each"),
        Case("diodes, Jacobian at 1,000 points", diodes, {}, (rng.uniform(0.0, 0.5, (1000, 3)),), "jacobian"),
        Case("attitude of a body, Jacobian", attitude, {}, (rng.normal(size=(1, 7)),), "jacobian"),
        Case("lens of three surfaces, 100 rays", lens, lenses, (np.linspace(0.1, 5.0, 100),)),
        Case("van der Pol's oscillator, 200 parameters", van_der_pol, {}, (np.linspace(0.1, 2.0, 200),), "each"),
    ]
