"""Complex numbers and sparse matrices: their parts, and checks of functions of them."""

import numpy as np
import pytest

from micrograd_cn.testing import GradientMismatch, gradcheck
from micrograd_cn.testing.inputs.array_parts import array_parts, is_sparse
from micrograd_cn.testing.inputs.pytrees import flatten_pytree

Z = np.array([1 + 2j, -0.5 + 0.3j, 0.7 - 1j])


# Complex numbers.


@pytest.mark.parametrize("z", [Z, Z.astype("F"), Z.reshape(3, 1), Z[:0], np.complex64(1 - 2j), 3 - 4j])
def test_a_complex_array_is_made_again_of_its_parts(z):
    leaves, rebuild = flatten_pytree({"z": z}, "p")
    assert [path for path, _ in leaves] == ["p['z'].real", "p['z'].imag"]
    made = rebuild([part for _, part in leaves])["z"]
    assert type(made) is type(z)
    assert np.asarray(made).dtype == np.asarray(z).dtype
    assert np.array_equal(made, z)


@pytest.mark.parametrize(
    ("f", "vjp"),
    [
        (lambda z: z**2, lambda z, u: u * 2 * z.conj()),
        (lambda z: abs(z) ** 2, lambda z, u: u * 2 * z),
        (lambda z: z.conj(), lambda z, u: u.conj()),
        (lambda z: z.real * z.imag, lambda z, u: u * (z.imag + 1j * z.real)),
        (lambda z: z.real, lambda z, u: u),
        (np.fft.fft, lambda z, u: z.size * np.fft.ifft(u)),
    ],
)
def test_functions_of_complex_numbers_are_differentiated_by_real_and_imaginary_part(f, vjp):
    for n in (3, 100):
        random = np.random.default_rng(n)
        z = random.normal(size=n) + 1j * random.normal(size=n)
        gradcheck(f, z, vjp=vjp)
        for factor in (1.01, 1j):
            with pytest.raises(GradientMismatch):
                gradcheck(f, z, vjp=lambda z, u, factor=factor: factor * vjp(z, u))


def test_the_conjugate_of_a_complex_gradient_is_told():
    with pytest.raises(GradientMismatch, match="likely, for z: the conjugate; it should be") as caught:
        gradcheck(lambda z: z**2, Z, vjp=lambda z, u: u * 2 * z)
    assert "z = np.array([1.0, -0.5, 0.7], dtype='float64') + 1j * np.array(" in str(caught.value)
    gradcheck(lambda z: z**2, Z, vjp=lambda z, u: np.conj(np.conj(u) * 2 * z))  # as the message says
    with pytest.raises(GradientMismatch, match=r"wrong for z\.imag, right for z\.real") as caught:
        gradcheck(lambda z: (abs(z) ** 2).sum(), Z, gradient=lambda z: 2 * z.conj())
    assert "the conjugate" in str(caught.value)
    gradcheck(lambda z: abs(z) ** 2, 1 + 2j, gradient=lambda z: 2 * z)
    gradcheck(lambda z: z**3, Z, jvp=lambda z, t: 3 * z**2 * t)
    with pytest.raises(GradientMismatch):
        gradcheck(lambda z: z**3, Z, jvp=lambda z, t: 3 * z**2 * t.conj())


def test_what_is_not_checked_of_complex_numbers_says_what_to_write():
    with pytest.raises(ValueError, match=r"jacobian= of complex numbers .* give vjp= or jvp="):
        gradcheck(lambda z: z**2, Z, jacobian=lambda z: np.diag(2 * z))
    for z in (Z, 1 + 2j):
        with pytest.raises(TypeError, match="z: expected a real number, got the complex"):
            gradcheck(lambda z: z**2, z)


# Sparse matrices.


@pytest.fixture
def sparse():
    return pytest.importorskip("scipy.sparse")


@pytest.fixture
def matrix(sparse):
    return sparse.random(5, 4, density=0.5, format="csr", random_state=0)


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
def test_derivatives_by_the_stored_entries_of_a_sparse_matrix_are_checked(matrix, kind, sparse):
    s, x = matrix.asformat(kind), np.linspace(1.0, 2.0, 4)

    def dense(s, x, u, factor=1.0):
        return factor * np.outer(u, x), s.T @ u

    def entries(s, x, u):
        places = s.tocoo()
        return u[places.row] * x[places.col], s.T @ u

    for vjp in (dense, entries, lambda s, x, u: (sparse.csr_array(np.outer(u, x)), s.T @ u)):
        gradcheck(lambda s, x: s @ x, s, x, vjp=vjp)
    with pytest.raises(GradientMismatch, match=r"wrong for s.data, right for x") as caught:
        gradcheck(lambda s, x: s @ x, s, x, vjp=lambda s, x, u: dense(s, x, u, 2.0))
    assert "at s = float64[5, 4], x = float64[4]" in str(caught.value)
    gradcheck(lambda s, x: s @ x, s, x, vjp=lambda s, x, u: s.T @ u, static=["s"])
    with pytest.raises(GradientMismatch, match=r"write static=\['s'\]"):
        gradcheck(lambda s, x: s @ x, s, x, vjp=lambda s, x, u: (None, s.T @ u))


def test_a_function_may_return_a_sparse_matrix(matrix):
    gradcheck(lambda s: 2 * s, matrix, vjp=lambda s, u: 2 * u)
    with pytest.raises(GradientMismatch):
        gradcheck(lambda s: 2 * s, matrix, vjp=lambda s, u: u)


def test_what_is_not_checked_of_sparse_matrices_says_what_to_write(matrix):
    for kind in ("lil", "dok", "dia", "bsr"):
        with pytest.raises(TypeError, match=rf"format {kind} is not checked; write x.tocsr\(\)"):
            gradcheck(lambda s: s.sum(), matrix.asformat(kind), gradient=lambda s: s)
    with pytest.raises(ValueError, match="give vjp= or jvp="):
        gradcheck(lambda s: s @ np.ones(4), matrix, jacobian=lambda s: s)
    with pytest.raises(
        TypeError, match=r"s: expected a real number, got csr_matrix; if s is a constant, write static=\['s'\]"
    ):
        gradcheck(lambda s: s.sum(), matrix)
    with pytest.raises(ValueError, match="must have 1 parts"):
        gradcheck(lambda s: s.sum(), matrix, gradient=lambda s: np.ones((2, 2)))
    assert not is_sparse(np.ones(2))
    assert array_parts("text") is array_parts(np.ones(2)) is None


def test_a_sparse_vector_is_checked(sparse):
    x = sparse.coo_array((np.array([1.0, 2.0]), (np.array([0, 2]),)), shape=(3,))
    gradcheck(lambda s: float((s.toarray() ** 2).sum()), x, gradient=lambda s: 2.0 * s.toarray())
    with pytest.raises(GradientMismatch):
        gradcheck(lambda s: float((s.toarray() ** 2).sum()), x, gradient=lambda s: 3.0 * s.toarray())


# PyTorch and jax.


def test_complex_tensors_are_checked():
    torch = pytest.importorskip("torch")
    z = torch.from_numpy(Z)

    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z):
            ctx.save_for_backward(z)
            return z * z

        @staticmethod
        def backward(ctx, u):
            return u * 2 * ctx.saved_tensors[0].conj()

    class Conjugated(Square):
        @staticmethod
        def backward(ctx, u):
            return u * 2 * ctx.saved_tensors[0]

    for f in (torch.exp, torch.abs, torch.angle, torch.fft.fft, Square, torch.nn.Linear(3, 2, dtype=torch.complex128)):
        gradcheck(f, z)
    gradcheck(lambda z: z**3, z, order=2)
    gradcheck(lambda x, z: x * z, torch.ones(3), z.to(torch.complex64))
    with pytest.raises(GradientMismatch, match="likely, for z: the conjugate"):
        gradcheck(Conjugated, z)


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")  # of PyTorch, about CSR tensors and invariants
def test_sparse_tensors_are_checked():
    torch = pytest.importorskip("torch")
    s = torch.arange(20.0, dtype=torch.float64).reshape(5, 4)
    s, d = s * (s % 3 == 1.0), torch.linspace(1.0, 2.0, 12, dtype=torch.float64).reshape(4, 3)

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, s, d):
            ctx.save_for_backward(s, d)
            return torch.sparse.mm(s, d)

        @staticmethod
        def backward(ctx, u):
            s, d = ctx.saved_tensors
            rows, columns = s.indices()
            return torch.sparse_coo_tensor(s.indices(), 2 * (u @ d.T)[rows, columns], s.shape), s.t() @ u

    for sparse in (s.to_sparse(), s.to_sparse_csr(), s.to_sparse_csc()):
        gradcheck(torch.mm, sparse, d)
    gradcheck(lambda s, d: torch.sparse.mm(s, d), s.to_sparse(), d, static=["s"])
    gradcheck(lambda s: 2 * s, s.to_sparse())
    with pytest.raises(GradientMismatch, match=r"wrong for s.values\(\), right for d"):
        gradcheck(Product, s.to_sparse(), d)
    with pytest.raises(TypeError, match=r"write x.to_sparse\(\) or x.to_dense\(\)"):
        gradcheck(torch.sum, s[:4].to_sparse_bsr((2, 2)))


def test_a_wrong_backward_of_a_function_that_changes_a_complex_or_sparse_tensor_in_place_is_found():
    torch = pytest.importorskip("torch")

    class Tripled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z):
            ctx.mark_dirty(z)
            return z.mul_(3)

        @staticmethod
        def backward(ctx, u):
            return 77 * u

    z = torch.from_numpy(Z)
    with pytest.raises(GradientMismatch):
        gradcheck(lambda z: Tripled.apply(z * 1), z)
    sparse = torch.eye(3, dtype=torch.float64).to_sparse()
    for x in (z, sparse):
        for factor in (1, 77):
            with pytest.raises(GradientMismatch):
                gradcheck(lambda x: x.mul_(3), x, vjp=lambda x, u, factor=factor: factor * u)
    with torch.inference_mode():
        assert gradcheck(lambda z: z * 3, torch.from_numpy(Z), vjp=lambda z, u: 3 * u)


def test_complex_arrays_of_jax_are_checked():
    jax = pytest.importorskip("jax")
    z = jax.numpy.asarray(Z)
    for f in (jax.numpy.exp, jax.numpy.abs, lambda z: z**2):
        gradcheck(f, z)

    @jax.custom_vjp
    def square(z):
        return z * z

    square.defvjp(lambda z: (z * z, z), lambda z, u: (u * 2 * z.conj(),))
    with pytest.raises(GradientMismatch, match="the conjugate"):
        gradcheck(square, z)
    square.defvjp(lambda z: (z * z, z), lambda z, u: (u * 2 * z,))
    gradcheck(square, z)
