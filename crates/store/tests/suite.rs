//! The shared suite on both forms of the embedded engine, and on a store that provides only what etcd does.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use clock::Clock;
use store::suite::{EtcdLike, Fixture};
use store::{Embedded, Options};

mod on_disk {
    use super::*;

    async fn fresh() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let store = Embedded::open(Options::new(directory.path(), Clock::system())).await.unwrap();
        Fixture::new(store, directory)
    }

    store::suite_tests!(fresh);
}

mod in_memory {
    use super::*;

    async fn fresh() -> Fixture {
        Fixture::new(Embedded::in_memory(Clock::system()), ())
    }

    store::suite_tests!(fresh);
}

mod etcd_like {
    use super::*;

    async fn fresh() -> Fixture {
        Fixture::new(EtcdLike::new(), ())
    }

    store::suite_tests!(fresh);
}
