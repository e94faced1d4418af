"""Advice for a name that the package or one of its modules does not have, such as `nn.Linear` of PyTorch."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from functools import cache
from opcode import opmap
from pathlib import Path
from types import FrameType

from ..graph.unsupported import INSTEAD as OF_VALUES

__all__ = ["missing_name"]

PACKAGE = Path(__file__).parents[1]
# The modules that are searched, in this order, so `Module` is found in `nn` and `constant` in `engine`
SEARCHED = "nn", "losses", "optim", "functional", "compiler", "testing", "engine", "init", "picture"
# For PyTorch names: an expression of this package that takes their place, as in `micrograd_cn.EXPRESSION`
INSTEAD = {
    "Linear": "nn.Layer(nin, nout, nonlin=False)",
    "Sequential": "nn.MLP(nin, [n1, n2])",
    "Parameter": "Value(x)",
    "set_grad_enabled": "no_grad()",
    "inference_mode": "no_grad()",
    "StepLR": "optim.step_lr(lr, step_size=10)",
    "lr_scheduler": "optim.cosine_lr(lr, steps)",
    "CosineAnnealingLR": "optim.cosine_lr(lr, steps)",
    **dict.fromkeys(("jit", "njit", "function"), "compiler.compile(f)"),
    "hessian_vector_product": "functional.hvp",
    **dict.fromkeys(("hess", "Hessian"), "functional.hessian"),
    **dict.fromkeys(("jac", "jacrev", "jacfwd", "jacobian_matrix"), "functional.jacobian"),
    **dict.fromkeys(("grad_and_value", "gradient_and_value"), "functional.value_and_grad"),
    **dict.fromkeys(("bce", "bce_loss"), "losses.binary_cross_entropy(xs, ts)"),
    **dict.fromkeys(("xavier", "glorot", "glorot_uniform"), "init.xavier_uniform"),
    "glorot_normal": "init.xavier_normal",
    **dict.fromkeys(("he", "he_uniform", "kaiming"), "init.kaiming_uniform"),
    "he_normal": "init.kaiming_normal",
    **dict.fromkeys(("mean_squared_error", "mse"), "losses.mse_loss(xs, ts)"),
    **dict.fromkeys(("mean_absolute_error", "mae"), "losses.l1_loss(xs, ts)"),
    "huber": "losses.huber_loss(xs, ts)",
    **dict.fromkeys(("sparse_categorical_crossentropy", "softmax_cross_entropy"), "losses.cross_entropy(logits, ts)"),
    "make_dot": "draw_dot",
    "Model": "nn.Module",
    "jacfwd": "functional.jacobian(f)",
    "jacrev": "functional.jacobian(f)",
    "ReLU": "relu(x)",
    "LeakyReLU": "leaky_relu(x)",
    "ELU": "elu(x)",
    "GELU": "gelu(x)",
    "SiLU": "silu(x)",
    "Tanh": "tanh(x)",
    "Sigmoid": "sigmoid(x)",
    "Softplus": "softplus(x)",
    "Softmax": "softmax(xs)",
    "LogSoftmax": "log_softmax(xs)",
    "MSELoss": "losses.mse_loss(xs, ts)",
    "L1Loss": "losses.l1_loss(xs, ts)",
    "HuberLoss": "losses.huber_loss(xs, ts)",
    "SmoothL1Loss": "losses.huber_loss(xs, ts)",
    "smooth_l1_loss": "losses.huber_loss(xs, ts)",
    "CrossEntropyLoss": "losses.cross_entropy(logits, ts)",
    "NLLLoss": "losses.nll_loss(xs, ts)",
    "BCELoss": "losses.binary_cross_entropy(xs, ts)",
    "BCEWithLogitsLoss": "losses.binary_cross_entropy_with_logits(xs, ts)",
    "Variable": "Value(x)",
    "Dense": "nn.Layer(nin, nout)",
    "clamp": "clip(x, 0.0, 1.0)",
    "power": "pow(x, 2.0)",
    "multiply": "mul(x, 2.0)",
    "divide": "div(x, 2.0)",
    "arctan2": "atan2(x, 1.0)",
    **{name: f"{row}(x)" for row, names in {
        "abs": ("absolute", "fabs"), "asin": ("arcsin",), "acos": ("arccos",), "atan": ("arctan",),
        "sigmoid": ("expit",), "silu": ("swish",), "lgamma": ("gammaln", "log_gamma"),
    }.items() for name in names},
}  # fmt: skip

_RATE = "optimizer.lr = {} before each optimizer.step()"
_RECURRENT = "a Module with Layers, whose __call__(self, x, h) returns the next state h"
_CONVOLUTION = "[dot(w, xs[i : i + len(w)]) for i in range(len(xs) - len(w) + 1)], where w is a list of Values"
_NORM = "(x - mean(xs)) / (np.var(xs) + 1e-5) ** 0.5 * scale + shift for each x in xs, with Values scale and shift"
_POOL = "max(xs[i : i + k]) or mean(xs[i : i + k]) for i in range(0, len(xs), k)"
_SCIPY = "scipy.optimize.minimize(f, x0, jac=True), where f returns what value_and_grad of a compiled function does"
_RULE = "class {}(Optimizer) with a method update(self, p, state), as in help(optim.Optimizer)"
_NUMPY = "np.{} of numpy, which takes lists and arrays of Values"
# For names of other libraries that no expression of this package replaces: what to write for them.
STATEMENTS = {
    **dict.fromkeys(("RNN", "RNNCell", "GRU", "GRUCell", "LSTM", "LSTMCell"), _RECURRENT),
    **dict.fromkeys(("Conv1d", "Conv2d", "conv1d", "conv2d"), _CONVOLUTION),
    **dict.fromkeys(("LayerNorm", "BatchNorm1d", "layer_norm", "batch_norm"), _NORM),
    **dict.fromkeys(("MaxPool1d", "MaxPool2d", "AvgPool1d", "AvgPool2d", "max_pool1d", "max_pool2d"), _POOL),
    **dict.fromkeys(
        ("MultiheadAttention", "scaled_dot_product_attention"), "softmax([dot(q, k) / d**0.5 for k in ks])"
    ),
    **{name: _RULE.format(name) for name in ("Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "Rprop", "Lion")},
    "LBFGS": _SCIPY,
    "Identity": "lambda x: x",
    "normal": "init=lambda rng, nin, nout: rng.gauss(0.0, 0.1) for the init of a model",
    **dict.fromkeys(
        ("orthogonal", "truncated_normal", "lecun_normal", "lecun_uniform"),
        "init=f for the init of a model, where f(rng, nin, nout) returns a number for each weight",
    ),
    "functional_call": "p.data = x for each parameter p, and then model(xs)",
    "functional": "micrograd_cn.relu(x) for functional.relu(x), and micrograd_cn.losses.mse_loss(xs, ts) for a loss",
    "Flatten": "x.ravel() for an array, or [a for row in rows for a in row] for a list of lists",
    "PReLU": "leaky_relu(x, negative_slope=a) with a Value a",
    "linear": "[dot(w, xs) + b for w, b in zip(weight, bias)]",
    "one_hot": "[1.0 * (i == k) for i in range(n)] for the class k",
    "normalize": "[x / dot(xs, xs).sqrt() for x in xs]",
    "cosine_similarity": "dot(xs, ys) / (dot(xs, xs) * dot(ys, ys)).sqrt()",
    **dict.fromkeys(("kl_div", "KLDivLoss"), "sum([p * (log(p) - log(q)) for p, q in zip(ps, qs)])"),
    **{
        name: _NUMPY.format(name)
        for name in (
            "stack",
            "concatenate",
            "matmul",
            "einsum",
            "outer",
            "inner",
            "cross",
            "trace",
            "tile",
            "repeat",
            "median",
            "sort",
            "argsort",
            "cumprod",
            "diff",
            "argmax",
            "argmin",
            "var",
            "std",
            "cumsum",
            "transpose",
            "reshape",
        )
    },
    **dict.fromkeys(("cat", "concat"), "xs + ys for lists, or np.concatenate([xs, ys]) for arrays"),
    "check_grads": "gradcheck(f, x) of micrograd_cn.testing",
    "array": "np.array([Value(x) for x in xs]) of numpy",
    **{
        name: f"np.{name}(n) of numpy for numbers, or [Value(x) for x in np.{name}(n)] for parameters"
        for name in ("zeros", "ones", "arange")
    },
    **dict.fromkeys(("randn", "normal"), "[Value(random.gauss(0, 1)) for _ in range(n)]"),
    **dict.fromkeys(("rand", "uniform"), "[Value(random.random()) for _ in range(n)]"),
    **dict.fromkeys(("autograd", "Function"), "Op(name, forward, partials) for an operation, and gradients(y, xs)"),
    **{
        f"{name}_": f"MLP(nin, nouts, init={name!r})"
        for name in (
            "xavier_uniform",
            "xavier_normal",
            "kaiming_uniform",
            "kaiming_normal",
            "uniform",
            "zeros",
        )
    },
    **dict.fromkeys(("constant_", "ones_", "constant_init"), "MLP(nin, nouts, init=init.constant(1.0))"),
    "normal_": "MLP(nin, nouts, init=lambda rng, nin, nout: rng.gauss(0, 0.02))",
    "log2": "log(x) / math.log(2)",
    "log10": "log(x) / math.log(10)",
    "exp2": "2 ** x",
    "cbrt": "x ** (1 / 3), for x above 0",
    **dict.fromkeys(("pi", "e", "inf", "nan"), "math.pi, math.e, math.inf or math.nan"),
    **dict.fromkeys(("tensor", "Tensor"), "Value(x) for a number, or np.array([Value(x) for x in xs]) for a list"),
    "Dropout": "[x * kept / (1 - p) for x, kept in zip(xs, mask)], where mask has a random 0 or 1 for each x",
    "Embedding": "table[i], where table is a list of lists of Values, one for each i",
    "ModuleDict": "a dict: a Module finds the parameters in it",
    "ModuleList": "a list: a Module finds the parameters in it",
    "ParameterList": "a list of Values: a Module finds the parameters in it",
    **dict.fromkeys(
        ("clip_grad_value_", "clip_grad_value"), "p.grad = min(max(p.grad, -limit), limit) for each parameter p"
    ),
    "enable_grad": "with no_grad(): around the code that shall not be recorded, and not around the rest",
    "backward": "y.backward() for a Value y",
    **dict.fromkeys(("GradientTape", "tape"), "y.backward() and x.grad, or gradients(y, [x])"),
    **dict.fromkeys(("stop_gradient", "stop_grad", "detach"), "x.detach() for a Value x"),
    "item": "x.data for the number of a Value x",
    "elementwise_grad": "[grad(f)(x) for x in xs] with grad of micrograd_cn.functional",
    "linearize": "jvp(f, x, v) with jvp of micrograd_cn.functional",
    "vector_jacobian_product": "vjp(f, x) with vjp of micrograd_cn.functional",
    **dict.fromkeys(("custom_vjp", "custom_jvp", "custom_gradient"), "Op(name, forward, partials) for an operation"),
    **dict.fromkeys(("checkpoint", "remat"), "the call itself, because a graph keeps all its numbers"),
    **dict.fromkeys(("cond", "select"), "where(condition, a, b), or if x < y: in a function"),
    **dict.fromkeys(("scan", "while_loop", "fori_loop", "lax"), "a loop of Python, which the graph records"),
    **dict.fromkeys(("minimize", "optimize", "root"), _SCIPY),
    **dict.fromkeys(("fit", "train"), "loss.fit(samples, optimizer, epochs=10) for a compiled function loss"),
    **dict.fromkeys(("from_numpy", "as_tensor"), "np.array([Value(x) for x in xs]) for an array xs"),
    "is_tensor": "isinstance(x, Value)",
    "allclose": "np.allclose([x.data for x in xs], ys)",
    **dict.fromkeys(("set_default_dtype", "float64", "float32"), "nothing, because all numbers are float64"),
    **dict.fromkeys(("optimizers", "keras", "layers", "loss"), "from micrograd_cn import nn, losses, optim"),
    "Momentum": "optim.SGD(parameters, lr=0.1, momentum=0.9)",
    **dict.fromkeys(("seed", "random"), "seed=0 in MLP(nin, nouts, seed=0), and random.seed(0) for your own numbers"),
    **dict.fromkeys(("linspace", "eye"), _NUMPY.format("linspace or np.eye")),
    "binary_crossentropy": "losses.binary_cross_entropy(xs, ts)",
    "categorical_crossentropy": "cross_entropy(logits, ts), where each t is the number of a class",
    "log_loss": "losses.binary_cross_entropy(xs, ts) for probabilities",
    "draw": "draw_dot(y).save('y.svg') for a Value y",
    "load": "model.load(path)",
    "manual_seed": "seed=0 in MLP(nin, nouts, seed=0), and random.seed(0) for the numbers that you draw",
    "max": "max(xs) of Python for a list, or maximum(x, y) for two numbers",
    "min": "min(xs) of Python for a list, or minimum(x, y) for two numbers",
    "save": "model.save(path)",
    "square": "x * x",
    "vmap": "[f(x) for x in xs], or compile(f).forward((xs,)) with compile of micrograd_cn.compiler",
    "ConstantLR": _RATE.format("factor * lr if optimizer.steps < total_iters else lr"),
    "CosineAnnealingWarmRestarts": _RATE.format("cosine_lr(lr, steps)(optimizer.steps % steps)"),
    "CyclicLR": _RATE.format("rate(optimizer.steps) for a function rate"),
    **dict.fromkeys(("ExponentialLR", "exponential_lr"), _RATE.format("lr * gamma**optimizer.steps")),
    "LambdaLR": _RATE.format("lr * f(optimizer.steps)"),
    "LinearLR": _RATE.format("linear_lr(lr, steps, lr_end)(optimizer.steps)"),
    "MultiStepLR": _RATE.format("lr * gamma ** sum(optimizer.steps >= m for m in milestones)"),
    "MultiplicativeLR": "optimizer.lr *= f(optimizer.steps) before each optimizer.step()",
    "OneCycleLR": _RATE.format("warmup(cosine_lr(lr, steps), warmup_steps)(optimizer.steps)"),
    "PolynomialLR": _RATE.format("lr * (1 - optimizer.steps / steps) ** power"),
    "ReduceLROnPlateau": "optimizer.lr *= 0.1 where the loss of the validation no longer falls",
    "SequentialLR": _RATE.format("a(t) if t < milestone else b(t - milestone), with t = optimizer.steps,"),
    "get_cosine_schedule_with_warmup": _RATE.format("warmup(cosine_lr(lr, steps), warmup_steps)(optimizer.steps)"),
}


def missing_name(name: str, caller: FrameType, module: str = PACKAGE.name) -> Exception:
    """Return the error for `name`, which a module does not have. It says where the name is, or what to write instead.

    Args:
        name: the name that was looked for.
        caller: the frame that looks for it. If this frame is at the statement `from micrograd_cn import name`, the
            error is an ImportError, since Python would replace an AttributeError by an ImportError of its own.
        module: the full name of the module.

    >>> import micrograd_cn
    >>> micrograd_cn.MLP
    Traceback (most recent call last):
    AttributeError: module 'micrograd_cn' has no attribute 'MLP'; write micrograd_cn.nn.MLP
    >>> micrograd_cn.nn.Sequential
    Traceback (most recent call last):
    AttributeError: module 'micrograd_cn.nn' has no attribute 'Sequential'; write micrograd_cn.nn.MLP(nin, [n1, n2])
    """
    if name.startswith("_"):  # Python and tools ask for such names, and go on without them
        return AttributeError(f"module {module!r} has no attribute {name!r}")
    package = PACKAGE.name
    owner = package if name in getattr(sys.modules[package], "__all__", ()) else _modules().get(name, "")
    write = f"; write {owner}.{name}" if owner else ""
    if owner == f"{package}.init" and name in STATEMENTS:  # such as "zeros", which makes an array in other packages
        write = f"; write {owner}.{name} for the init of a model, or {STATEMENTS[name]}"
    if not owner and name in INSTEAD:
        write = f"; write {package}.{INSTEAD[name]}"
    elif not owner and name in STATEMENTS:
        write = f"; write {STATEMENTS[name]}"
    elif not owner and (instead := OF_VALUES.get(name)) and "x" in instead:
        write = f"; write {instead}"
    elif not owner and (close := get_close_matches(name, _modules(), n=1, cutoff=0.9)):
        write = f"; write {_modules()[close[0]]}.{close[0]}"
    if caller.f_code.co_code[caller.f_lasti] == opmap["IMPORT_FROM"]:
        if owner:
            write = f"; write from {owner} import {name}"
        return ImportError(f"cannot import name {name!r} from {module!r}{write}", name=module)
    return AttributeError(f"module {module!r} has no attribute {name!r}{write}", name=name)


@cache
def _modules() -> dict[str, str]:
    """Return a dict from public names to the modules that have them. It imports no module, since that may take long."""
    import ast  # imported here, because correct programs do not need it

    found: dict[str, str] = {}
    for module in SEARCHED:
        path = next((p for p in (PACKAGE / f"{module}.py", PACKAGE / module / "__init__.py") if p.exists()), None)
        for statement in ast.parse(path.read_bytes()).body if path else ():
            targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
            if any(isinstance(x, ast.Name) and x.id == "__all__" for x in targets):
                for text in ast.walk(statement):
                    if isinstance(text, ast.Constant) and isinstance(text.value, str):
                        found.setdefault(text.value, f"{PACKAGE.name}.{module}")
    return found
