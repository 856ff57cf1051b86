"""Products by whatever a device has, against double precision."""

import json
import platform

import pytest
import torch

from ssps_lib import devices
from ssps_lib.positives import NearestNeighbors, Queue
from ssps_lib.positives.clustering import nearest_clusters


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A machine on which nothing was measured yet."""
    monkeypatch.setenv("SSPS_HOME", str(tmp_path))
    devices.fastest.cache_clear()
    yield tmp_path
    devices.fastest.cache_clear()


def product(rows, columns, out=None):
    """One product, by whatever library suits its size."""
    with devices.multiplier(columns, len(rows) * columns.numel()) as multiply:
        return multiply(rows, columns, out)


@pytest.mark.parametrize(
    ("rows", "columns", "dim"), [(1, 1, 1), (7, 5, 3), (130, 70, 512), (512, 256, 512)]
)
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-6), (torch.bfloat16, 8e-3)])
def test_product_is_that_of_double_precision(rows, columns, dim, dtype, error):
    generator = torch.Generator().manual_seed(0)
    a = torch.nn.functional.normalize(torch.randn(rows, dim, generator=generator), dim=1)
    b = torch.nn.functional.normalize(torch.randn(columns, dim, generator=generator), dim=1)
    a, b = a.to(dtype), b.to(dtype)
    found = product(a, b)
    assert found.dtype == dtype and found.shape == (rows, columns)
    expected = a.double() @ b.double().t()
    assert float((found.double() - expected).abs().max()) < error


def test_product_takes_views_and_gives_no_gradient():
    a = torch.randn(6, 8, requires_grad=True)
    b = torch.randn(8, 10).t()[::2]  # neither is contiguous
    found = product(a[::2], b)
    assert not found.requires_grad
    torch.testing.assert_close(found, a[::2].detach() @ b.t())


@pytest.mark.parametrize("large", [0, devices.LARGE])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_product_of_two_formats_is_refused(dtype, large, monkeypatch):
    monkeypatch.setattr(devices, "LARGE", large)
    for formats in ((torch.float32, dtype), (dtype, torch.float32)):
        with pytest.raises(RuntimeError):
            product(*(torch.ones(2, 2, dtype=one) for one in formats))


@pytest.mark.parametrize("library", devices.LIBRARIES)
def test_every_library_gives_the_product(library):
    a, b = torch.randn(60, 32), torch.randn(32, 50).t()
    expected = a.double() @ b.double().t()
    found = devices.LIBRARIES[library](a, b, torch.empty(60, 50))
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("library", devices.LIBRARIES)
def test_searches_agree_with_all_cosines_whatever_library_multiplies(library, monkeypatch):
    monkeypatch.setattr(devices, "LARGE", 0)
    monkeypatch.setattr(devices, "LIBRARIES", {library: devices.LIBRARIES[library]})
    generator, every = torch.Generator().manual_seed(0), torch.arange(40)
    x = torch.nn.functional.normalize(torch.randn(40, 8, generator=generator), dim=1)
    cosines = (x.double() @ x.double().t()).fill_diagonal_(-1)
    expected = cosines.topk(3, dim=1).indices
    assert torch.equal(nearest_clusters(x, every >= 0, 3), expected)
    queue, sampler = Queue(40, (8,)), NearestNeighbors(window=3)
    queue[every] = x
    sampler.refresh(queue)
    assert torch.equal(sampler.neighbors(x, 4)[:, 1:], expected)  # the first is the row itself


def test_memory_for_the_product_may_be_larger_and_be_used_again(home, monkeypatch):
    monkeypatch.setattr(devices, "LARGE", 0)
    a, b, out = torch.randn(6, 8), torch.randn(5, 8), None
    for rows in (a, a[4:]):
        out = product(rows, b, out)
        torch.testing.assert_close(out, rows @ b.t())


@pytest.mark.parametrize("library", devices.LIBRARIES)
def test_one_library_has_threads_and_gives_them_back(library, monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(devices, "LARGE", 0)
    monkeypatch.setattr(devices, "LIBRARIES", {library: devices.LIBRARIES[library]})
    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError), devices.multiplier(torch.ones(2, 2), 8):
            assert torch.get_num_threads() == (1 if library == "numpy" else 2)
            _ = 1 / 0
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_choice_is_kept_for_the_machine(home, monkeypatch):
    first = devices.fastest(1)
    assert list(json.loads((home / "products.json").read_text()).values()) == [first]
    monkeypatch.setattr(devices, "LIBRARIES", {})  # nothing is left to measure
    devices.fastest.cache_clear()
    assert devices.fastest(1) == first


def test_small_products_measure_nothing(home):
    product(torch.ones(4, 4), torch.ones(4, 4))
    assert not any(home.iterdir())


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_is_kept():
    import resource

    def new_pages() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(2**24)  # 64 MiB, 16,384 pages
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    devices.keep_freed_memory()
    assert min(new_pages() for _ in range(20)) < 1000  # holes between pieces are found at length
