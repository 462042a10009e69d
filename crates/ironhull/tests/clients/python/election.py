"""Leader election over a ConfigMap and over a Lease: one leads at a time, and the next one takes over."""

import threading

from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.configmaplock import ConfigMapLock
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

from common import LIMIT, NAMESPACE, until

for lock in (ConfigMapLock, LeaseLock):
    leaders, stops = [], {name: threading.Event() for name in ("first", "second")}
    threads = []

    def candidate(name):
        def lead():
            threads.append(threading.current_thread())
            leaders.append(name)
            stops[name].wait(LIMIT)

        settings = electionconfig.Config(
            lock("leader", NAMESPACE, name),
            lease_duration=4,
            renew_deadline=3,
            retry_period=1,
            onstarted_leading=lead,
            onstopped_leading=None,
        )
        return leaderelection.LeaderElection(settings)

    def start(candidate):
        threads.append(threading.Thread(target=candidate.run, daemon=True))
        threads[-1].start()

    first, second = candidate("first"), candidate("second")
    start(first)
    until("the first leader", lambda: leaders == ["first"])
    start(second)
    # The lock is the first one's as long as it renews it; then it stops to.
    found, record = lock("leader", NAMESPACE, "looker").get("leader", NAMESPACE)
    assert found and record.holder_identity == "first", record
    first.try_acquire_or_renew = lambda: False
    until("the next leader", lambda: leaders == ["first", "second"])
    second.try_acquire_or_renew = lambda: False
    for stop in stops.values():
        stop.set()
    # Python aborts if a thread writes while it ends.
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive(), thread
