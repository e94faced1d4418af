"""`gradcheck` of PyTorch's and jax's functions, where these are installed: the gradient is found by itself."""

import subprocess
import sys

import pytest

from micrograd_cn.testing import GradientMismatch, gradcheck


def test_no_library_is_imported_that_is_not_used():
    code = (
        "import sys\n"
        "from micrograd_cn import tanh\n"
        "from micrograd_cn.testing import gradcheck\n"
        "gradcheck(tanh, 0.5)\n"
        "print({'numpy', 'torch', 'jax'} & {*sys.modules})\n"
        "gradcheck(lambda x: x * x, 0.5, gradient=lambda x: 2 * x)\n"
        "print({'torch', 'jax'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\nset()\n"


def test_numpy_is_asked_for_where_it_is_needed():
    code = (
        "import sys\n"
        "sys.modules['numpy'] = None\n"
        "from micrograd_cn.testing import gradcheck\n"
        "try: gradcheck(lambda x: x * x, 0.5, gradient=lambda x: 2 * x)\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "gradcheck of other functions than those of Values needs numpy: pip install numpy\n"


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def swish(torch):
    """Return a function that makes an `autograd.Function` whose backward pass is off by a factor."""

    def off_by(factor):
        class Swish(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * torch.sigmoid(x)

            @staticmethod
            def backward(ctx, upstream):
                (x,) = ctx.saved_tensors
                s = torch.sigmoid(x)
                return factor * upstream * s * (1 + x * (1 - s))

        return Swish.apply

    return off_by


@pytest.mark.parametrize("kind", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("shape", [(3, 4), (100, 30)])
def test_an_autograd_function_in_every_precision(torch, swish, shape, kind):
    torch.manual_seed(0)
    x = torch.randn(*shape, dtype=torch.float64).to(getattr(torch, kind))
    gradcheck(swish(1.0), x)
    for factor in (1.02 if kind == "bfloat16" else 1.01, 1.1, 0.5, -1.0):
        with pytest.raises(GradientMismatch, match=r"WRONG .*df\[.*/dx0\["):
            gradcheck(swish(factor), x)


def test_tensors_that_require_a_gradient_are_chosen_if_there_are_any(torch):
    x, w = torch.randn(3), torch.randn(3, requires_grad=True)
    gradcheck(lambda x, w: (x.detach() * w).sum(), x, w)
    with pytest.raises(GradientMismatch, match=r"/dx0\["):
        gradcheck(lambda x, w: (x.detach() * w).sum(), x, w.detach())


def test_modules_integers_and_several_outputs(torch):
    torch.manual_seed(0)
    labels = torch.tensor([0, 2, 1])
    gradcheck(lambda x, y: torch.nn.functional.cross_entropy(x, y), torch.randn(3, 4, dtype=torch.float64), labels)
    gradcheck(torch.nn.LayerNorm(4), torch.randn(3, 4))
    gradcheck(lambda x: x.double().max(-1), torch.randn(3, 4, dtype=torch.float64))  # values and indices
    gradcheck(torch.relu, torch.tensor([0.0, 1.0, -1.0]))
    embed = torch.nn.Embedding(5, 2).double()
    functional = torch.func.functional_call
    gradcheck(lambda w: functional(embed, {"weight": w}, (labels,)), embed.weight)


def test_a_second_derivative_is_that_of_the_gradient(torch):
    def df(x):
        x = x if x.requires_grad else x.requires_grad_()
        return torch.autograd.grad((x**3).sum(), x, create_graph=True)[0]

    gradcheck(df, torch.randn(3, dtype=torch.float64))


def test_a_graph_that_is_lost_is_told(torch):
    with pytest.raises(TypeError, match=r"no backward pass to check; does f use .detach"):
        gradcheck(lambda x: x.detach() ** 2, torch.randn(3))


def test_a_written_derivative_of_tensors(torch):
    x = torch.randn(3, dtype=torch.float64)
    gradcheck(torch.sin, x, vjp=lambda x, g: g * torch.cos(x))
    with pytest.raises(GradientMismatch):
        gradcheck(torch.sin, x, jvp=lambda x, t: -t * torch.cos(x))


@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("factor", [1.0, 1.1])
def test_a_custom_vjp_of_jax(kind, factor):
    jax = pytest.importorskip("jax")

    @jax.custom_vjp
    def swish(x):
        return x * jax.nn.sigmoid(x)

    def backward(x, g):
        s = jax.nn.sigmoid(x)
        return ((factor * g * s * (1 + x * (1 - s))).astype(x.dtype),)

    swish.defvjp(lambda x: (swish(x), x), backward)
    x = jax.random.normal(jax.random.key(0), (3, 4)).astype(kind)
    if factor == 1.0:
        gradcheck(swish, x)
        gradcheck(lambda p: swish(p["x"]) * p["n"], {"x": x, "n": jax.numpy.arange(4)})
    else:
        with pytest.raises(GradientMismatch):
            gradcheck(swish, x)
