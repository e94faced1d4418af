"""A name that is looked for in the package itself, but is in one of its modules, is answered with the right module."""

import importlib
import subprocess
import sys

import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.text.public_names import INSTEAD, SEARCHED

ELSEWHERE = sorted(
    {name for module in SEARCHED for name in importlib.import_module(f"micrograd_cn.{module}").__all__}
    - {name for name in dir(mc) if not name.startswith("_")}
    - {*mc.__all__, *SEARCHED}
)


def test_names_of_all_modules_are_looked_for():
    assert {"MLP", "Module", "compile", "grad", "gradcheck", "SGD", "Adam", "mse_loss", "zeros"} <= {*ELSEWHERE}


def _expression(error):
    """Return the expression that the message of `error` says to write, without what else it says."""
    return str(error.value).partition("; write ")[2].partition(" for the init of a model")[0]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_an_error_says_to_write_finds_the_name(name):
    with pytest.raises(ImportError, match=f"^cannot import name '{name}' from 'micrograd_cn'; write from ") as error:
        exec(f"from micrograd_cn import {name}")
    names = {}
    exec(str(error.value).partition("; write ")[2], names)
    with pytest.raises(AttributeError, match=f"has no attribute '{name}'; write ") as error:
        getattr(mc, name)
    assert eval(_expression(error), {"micrograd_cn": mc}) is names[name]
    assert not hasattr(mc, name)


ASKED = ("functional", "init", "losses", "nn", "optim")


@pytest.mark.parametrize("module", ASKED)
def test_a_module_that_is_asked_for_a_name_of_another_one_says_where_it_is(module):
    asked = importlib.import_module(f"micrograd_cn.{module}")
    for name in {*ELSEWHERE, "relu", "tanh"} - {*dir(asked)}:
        with pytest.raises(
            AttributeError, match=f"^module 'micrograd_cn.{module}' has no attribute '{name}'; "
        ) as error:
            getattr(asked, name)
        found = eval(_expression(error), {"micrograd_cn": mc})
        with pytest.raises(ImportError, match=f"^cannot import name '{name}' from 'micrograd_cn.{module}'; ") as error:
            exec(f"from micrograd_cn.{module} import {name}")
        names = {}
        exec(str(error.value).partition("; write ")[2], names)
        assert names[name] is found
    with pytest.raises(AttributeError, match=f"^module 'micrograd_cn.{module}' has no attribute 'nowhere'$"):
        asked.nowhere  # noqa: B018 -- reading the attribute raises the error


# What the expressions give at x = 0.5, for scores 0.25 and 0.5 with targets 0 and 1, and for logits 1 and 2 of class 1
NUMBERS = {
    **{"ReLU": 0.5, "LeakyReLU": 0.5, "ELU": 0.5, "GELU": 0.34573123, "SiLU": 0.31122967, "Tanh": 0.46211716},
    **{"Sigmoid": 0.62245933, "Softplus": 0.97407698, "MSELoss": 0.15625, "L1Loss": 0.375, "HuberLoss": 0.078125},
    **{"SmoothL1Loss": 0.078125, "smooth_l1_loss": 0.078125, "CrossEntropyLoss": 0.31326169, "NLLLoss": -0.5},
    **{"Variable": 0.5, "clamp": 0.5, "power": 0.25, "multiply": 1.0, "divide": 0.25, "arctan2": 0.46364761},
    **{"absolute": 0.5, "fabs": 0.5, "arcsin": 0.52359878, "arccos": 1.04719755, "arctan": 0.46364761},
    **{"expit": 0.62245933, "swish": 0.31122967, "gammaln": 0.57236494, "log_gamma": 0.57236494},
    **{"BCELoss": 0.49041463, "BCEWithLogitsLoss": 0.65000820, "Parameter": 0.5},
}


@pytest.mark.parametrize("name", INSTEAD)
def test_what_an_error_says_to_write_for_a_name_of_pytorch_can_be_written(name):
    numbers = {"x": 0.5, "xs": [0.25, 0.5], "ts": [0.0, 1.0], "logits": [1.0, 2.0], "nin": 2, "n1": 3, "n2": 1}
    numbers |= {"lr": 0.1, "steps": 10, "f": lambda x: x * x}
    if "nll" in INSTEAD[name] or "cross_entropy(logits" in INSTEAD[name]:
        numbers["ts"] = 1
    for module in (mc, *(importlib.import_module(f"micrograd_cn.{module}") for module in ASKED)):
        with pytest.raises(AttributeError, match=f"has no attribute '{name}'; write micrograd_cn") as error:
            getattr(module, name)
        written = str(error.value).partition("; write ")[2]
        result = eval(written, {"micrograd_cn": mc, **numbers, "nout": 1})
        assert isinstance(result, (float, list, Value, mc.nn.Module, mc.no_grad, mc.optim.cosine_lr)) or callable(
            result
        )
        if name in NUMBERS:
            assert getattr(result, "data", result) == pytest.approx(NUMBERS[name], rel=1e-7)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("ModuleList", "write a list: a Module finds the parameters in it$"),
        ("clip_grad_value_", r"write p\.grad = min\(max\(p\.grad, -limit\), limit\) for each parameter p$"),
        ("tensor", r"write Value\(x\) for a number, or np\.array"),
        ("sign", r"write less\(0, x\) - less\(x, 0\)$"),
        ("log10", r"write log\(x\) / math\.log\(10\)$"),
        ("GradientTape", r"write y\.backward\(\) and x\.grad, or gradients\(y, \[x\]\)$"),
        ("stop_gradient", r"write x\.detach\(\) for a Value x$"),
        ("custom_vjp", r"write Op\(name, forward, partials\) for an operation$"),
        ("scan", "write a loop of Python, which the graph records$"),
        ("minimize", r"write scipy\.optimize\.minimize\(f, x0, jac=True\)"),
        ("stack", "write np.stack of numpy, which takes lists and arrays of Values$"),
        ("LSTM", r"a Module with Layers, whose __call__\(self, x, h\) returns the next state h$"),
        ("xavier_uniform_", r"write MLP\(nin, nouts, init='xavier_uniform'\)$"),
        ("Adagrad", r"write class Adagrad\(Optimizer\) with a method update"),
    ],
)
def test_a_name_of_pytorch_without_a_counterpart_says_what_to_write(name, write):
    for module in (mc, *(importlib.import_module(f"micrograd_cn.{module}") for module in ASKED)):
        with pytest.raises(AttributeError, match=write):
            getattr(module, name)


def test_the_functions_of_pytorchs_networks_are_in_other_modules_here():
    write = r"write micrograd_cn\.relu\(x\) for functional\.relu\(x\), and micrograd_cn\.losses\.mse_loss\(xs, ts\) for"
    with pytest.raises(AttributeError, match=f"^module 'micrograd_cn.nn' has no attribute 'functional'; {write}"):
        mc.nn.functional  # noqa: B018 -- reading the attribute raises the error
    with pytest.raises(ImportError, match=write):
        from micrograd_cn.nn import functional  # noqa: F401 -- the import raises the error


def test_a_name_that_is_spelt_almost_like_another_is_answered_with_that():
    with pytest.raises(
        AttributeError, match=r"no attribute 'clip_grad_norm_'; write micrograd_cn\.optim\.clip_grad_norm$"
    ):
        mc.optim.clip_grad_norm_  # noqa: B018 -- reading the attribute raises the error


def test_a_name_that_no_module_has_is_answered_as_by_python():
    with pytest.raises(ImportError, match=r"^cannot import name 'nowhere' from 'micrograd_cn'") as error:
        from micrograd_cn import nowhere  # noqa: F401 -- the import raises the error
    assert "write" not in str(error.value)
    with pytest.raises(AttributeError, match=r"^module 'micrograd_cn' has no attribute 'nowhere'$"):
        mc.nowhere  # noqa: B018 -- reading the attribute raises the error
    with pytest.raises(AttributeError, match=r"^module 'micrograd_cn' has no attribute '__wrapped__'$"):
        mc.__wrapped__  # noqa: B018 -- reading the attribute raises the error


def test_the_answer_imports_no_module():
    code = (
        "import sys, micrograd_cn\nbefore = {*sys.modules}\nhasattr(micrograd_cn, 'gradcheck')\n"
        "print(sorted(name for name in {*sys.modules} - before if name.startswith('micrograd_cn')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['micrograd_cn.text', 'micrograd_cn.text.public_names']"


@pytest.mark.parametrize(("name", "instead"), [("zeros", "np.zeros(n) of numpy"), ("uniform", "random.random()")])
def test_a_name_of_init_that_others_give_to_arrays_is_answered_with_how_to_make_numbers_too(name, instead):
    with pytest.raises(AttributeError, match=f"write micrograd_cn.init.{name} for the init of a model, or ") as error:
        getattr(mc, name)
    assert instead in str(error.value)


@pytest.mark.parametrize(
    ("module", "name", "write"),
    [
        ("functional", "hess", "micrograd_cn.functional.hessian"),
        ("functional", "jacrev", "micrograd_cn.functional.jacobian"),
        ("compiler", "jit", "micrograd_cn.compiler.compile(f)"),
        ("compiler", "grad", "micrograd_cn.functional.grad"),
        ("losses", "bce", "micrograd_cn.losses.binary_cross_entropy(xs, ts)"),
        ("init", "xavier", "micrograd_cn.init.xavier_uniform"),
        ("init", "he_normal", "micrograd_cn.init.kaiming_normal"),
        ("init", "orthogonal", "init=f for the init of a model, where f(rng, nin, nout) returns"),
    ],
)
def test_names_of_other_libraries_in_a_module_say_what_to_write(module, name, write):
    with pytest.raises(AttributeError) as caught:
        getattr(importlib.import_module(f"micrograd_cn.{module}"), name)
    assert f"; write {write}" in str(caught.value)
