# SPDX-License-Identifier: Apache-2.0
"""A replica that gets its samples a minute late, queried about the last minutes: what is missing comes from the other one."""
import time

import promql_data
promql_data.BEGIN = int(time.time()) - promql_data.SECONDS + 600  # there are samples of the next ten minutes
import layouts  # noqa: E402 (it takes the time of the data)
from lib import *


class RecentQueries(layouts.GroupQueries):
    def moment(self):
        return round(time.time() - self.r.uniform(0, 400), 3)


@seconds(300)
def test_lagging_replica():
    servers = layouts.Servers("copies", "1")
    servers.add_lagging(60)
    comparison = layouts.LayoutComparison(servers)
    source = RecentQueries(servers.data, "lagging")
    for _ in range(200):
        comparison.compare(*source.request())
    comparison.report()
    servers.stop()
    assert not comparison.wrong, f"{len(comparison.wrong)} results differ"
    assert comparison.filled > 140
