# SPDX-License-Identifier: Apache-2.0
"""STEPS (30) random outages, clean restarts, reloads and changes of lanes and shards: Prometheus without an out-of-order
window rejects nothing, and nothing is missing."""
import os
import random

from lib import *
from test_receiver_order import Delivery

STEPS = int(os.environ.get("STEPS", "30"))


@seconds(STEPS * 20 + 60)
def test_prometheus_rejects_nothing():
    seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
    print(f"seed {seed}")
    chance = random.Random(seed)
    delivery, steps = Delivery(targets=20, series=100), []
    for _ in range(STEPS):
        step = chance.choice(("outage", "outage", "restart", "reload"))
        steps.append(step)
        delivery.arrive()
        if step == "restart":
            delivery.restart(lanes=chance.randrange(1, 5))
        elif step == "reload":
            assert delivery.sluice.reconfigure(delivery.config(chance.randrange(1, 9))).status == 200
        else:
            delivery.outage(shards=chance.choice((None, 1, 3, 8)))
            if chance.random() < 0.5:
                delivery.restart(lanes=chance.randrange(1, 5))
            delivery.recover()
    delivery.check_nothing_rejected()
    delivery.end()
    print(f"{len(delivery.gateway.codes)} requests, {sum(map(len, delivery.targets.served))} scrapes, "
          f"{len(delivery.pusher.acknowledged)} pushes in {steps}")
