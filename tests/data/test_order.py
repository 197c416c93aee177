"""Claims about the order of an epoch."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from hornlib.data.order import epoch_order


@given(seed=st.integers(0, 5000), epoch=st.integers(0, 500), num_train=st.integers(1, 200))
def test_an_epoch_visits_every_example_once_in_an_order_of_its_own(seed, epoch, num_train):
    order = epoch_order(seed, epoch, num_train)
    torch.manual_seed(seed)
    assert torch.equal(order, epoch_order(seed, epoch, num_train))
    assert torch.equal(order.sort().values, torch.arange(num_train))


def test_other_seeds_and_epochs_get_other_orders():
    orders = {tuple(epoch_order(seed, epoch, 50).tolist()) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25
