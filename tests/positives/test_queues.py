import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssps_lib.positives.queues import Queue


def rows(*numbers):
    return torch.tensor(numbers, dtype=torch.float32)[:, None]


@settings(deadline=None)
@given(
    size=st.integers(1, 6),
    batches=st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=6), max_size=8),
)
def test_agrees_with_a_list_of_slots(size, batches):
    """A loop with a dictionary per slot: FIFO, newest row of an index wins."""
    n, queue, pointer, clock = 6, Queue(6, (1,), size=size), 0, 0.0
    slots = [None] * size
    for batch in batches:
        values = []
        for index in batch:
            clock += 1
            values.append(clock)
            place = index if size == n else pointer
            slots = [None if s is not None and s[0] == index else s for s in slots]
            slots[place] = (index, clock)
            pointer = (pointer + 1) % size
        queue[torch.tensor(batch)] = rows(*values)
    held = {s[0]: s[1] for s in slots if s is not None}
    assert len(queue) == len(held)
    assert queue.contains(torch.arange(n)).tolist() == [i in held for i in range(n)]
    for index, value in held.items():
        assert queue[torch.tensor([index])].item() == value
    for slot, index in enumerate(queue.indices.tolist()):
        assert (slots[slot] is None) == (index == -1)


def test_minus_one_is_never_held():
    queue = Queue(3, (1,))
    queue[torch.tensor([0, 1, 2])] = rows(1, 2, 3)
    assert queue.contains(torch.tensor([-1, 2])).tolist() == [False, True]


def test_restart_writes_from_the_first_slot():
    queue = Queue(9, (1,), size=4)
    queue[torch.tensor([0, 1, 2])] = rows(0, 1, 2)
    queue.restart()
    queue[torch.tensor([5, 6])] = rows(5, 6)
    assert queue.indices.tolist() == [5, 6, 2, -1]


@pytest.mark.parametrize("size", [None, 3])
def test_state_survives(size):
    queue, other = Queue(6, (2,), size=size), Queue(6, (2,), size=size)
    queue[torch.tensor([4, 0, 4, 5])] = torch.randn(4, 2)
    other[torch.tensor([1, 2])] = torch.randn(2, 2)
    other.load_state_dict({k: v.clone() for k, v in queue.state_dict().items()})
    every = torch.arange(-1, 6)
    assert torch.equal(queue.contains(every), other.contains(every))
    assert torch.equal(queue[torch.tensor([4, 5])], other[torch.tensor([4, 5])])
    for q in (queue, other):
        q[torch.tensor([1])] = torch.ones(1, 2)
    assert torch.equal(queue.indices, other.indices)


def test_keeps_rows_of_any_shape_and_type_without_gradient():
    queue = Queue(4, (2, 3), dtype=torch.float16)
    values = torch.randn(2, 2, 3, requires_grad=True)
    queue[torch.tensor([3, 1])] = values
    assert not queue.values.requires_grad
    torch.testing.assert_close(queue[torch.tensor([1])][0].float(), values[1], rtol=1e-3, atol=1e-3)


def test_bad_input_is_named():
    queue = Queue(4, (2,))
    with pytest.raises(ValueError, match="not in the queue"):
        queue[torch.tensor([1])]
    with pytest.raises(ValueError, match=r"-1 to 4, expected \[0, 4\)"):
        queue[torch.tensor([-1, 4])] = torch.zeros(2, 2)
    with pytest.raises(ValueError, match="size=5"):
        Queue(4, (2,), size=5)
    with pytest.raises(ValueError, match="another corpus"):
        queue.load_state_dict(Queue(3, (2,)).state_dict())
