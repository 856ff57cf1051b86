"""Products by whatever a device has, against double precision."""

import pytest
import torch

from ssps_lib.devices import product


@pytest.mark.parametrize(("rows", "columns", "dim"), [(1, 1, 1), (7, 5, 3), (130, 70, 512)])
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


def test_product_of_two_formats_is_refused():
    with pytest.raises(RuntimeError):
        product(torch.ones(2, 2), torch.ones(2, 2, dtype=torch.bfloat16))
